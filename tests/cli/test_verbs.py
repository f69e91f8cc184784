"""Every verb: data on standard output, errors in words on standard error, exit codes that tell them apart."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from cli.called import GPT2, Call
from isoflop.runs import RunStore

VERBS = [
    "demo",
    "sweep",
    "fit",
    "plan",
    "compare",
    "advise downstream",
    "advise emergence",
    "advise rates",
    "advise stop",
    "count",
    "report",
    "report figures",
    "report page",
    "bench",
    "bench compare",
    "info",
    "laws",
    "laws show",
    "runs compact",
    "runs export",
    "runs gc",
    "runs import",
    "runs ls",
    "runs mark",
    "runs merge",
    "runs show",
    "runs sql",
    "runs verify",
    "runs watch",
]


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_ends_in_an_example(isoflop: Call, verb: str) -> None:
    called = isoflop(f"{verb} --help")
    assert called.code == 0
    assert f"Example: isoflop {verb}" in called.out


def test_an_interrupt_ends_a_command_in_words(isoflop: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isoflop.hardware.info", interrupted)
    called = isoflop("info")
    assert (called.code, called.err) == (130, "stopped; the same command goes on where it stopped\n")


def test_runs_are_listed_and_one_is_shown_by_the_start_of_its_id(isoflop: Call, store: RunStore) -> None:
    listed = json.loads(isoflop(f"runs ls {store.path} --json").out)
    assert len(listed) == 12
    assert "12 finished" in isoflop(f"runs ls {store.path}").out
    shown = json.loads(isoflop(f"runs show {store.path} {listed[0]['id'][:8]}").out)
    assert shown["id"] == listed[0]["id"]
    assert shown["state"] == "finished"


def test_a_compacted_store_is_listed_shown_and_fitted_as_before(isoflop: Call, store: RunStore) -> None:
    run = next(iter(store)).id
    asked = (f"runs ls {store.path} --json", f"runs show {store.path} {run[:8]}", f"fit {store.path} --law chinchilla")
    before = [isoflop(words).out for words in asked]
    assert (
        "12 runs and 12 points compacted; 0 runs left as they are; 3 files of"
        in isoflop(f"runs compact {store.path}").out
    )
    assert [isoflop(words).out for words in asked] == before
    again = json.loads(isoflop(f"runs compact {store.path} --json").out)
    assert (again["runs"], again["left"], again["damaged"], again["files"]) == (0, 0, [], 3)


def test_stores_are_exported_imported_merged_marked_and_verified(
    isoflop: Call, store: RunStore, tmp_path: Path
) -> None:
    made, archive = tmp_path / "made", tmp_path / "runs.zip"
    picked = isoflop(f"runs ls {store.path} --where", "N >= 1e5").out
    assert "6 finished" in picked
    assert "6 runs and 6 points came" in isoflop(f"runs export {store.path} {archive} --where", "N >= 1e5").out
    assert json.loads(isoflop(f"runs import {made} {archive} --json").out)["runs"] == 6
    assert "6 runs and 6 points came; 6 were there already" in isoflop(f"runs merge {made} {store.path}").out
    run = json.loads(isoflop(f"runs ls {made} --json --where", "N == 1e3 and D == 1e6").out)[0]["id"]
    assert isoflop(f"runs mark {made} {run} superseded --why", "too short").out == f"run {run} is superseded\n"
    assert json.loads(isoflop(f"runs show {made} {run}").out)["error"] == "too short"
    assert "nothing is wrong" in isoflop(f"runs verify {made}").out
    assert "MB freed" in isoflop(f"runs gc {made}").out  # what the merge and the mark replaced
    [points] = made.glob("compacted/points-*")
    points.write_bytes(b"")
    broken = isoflop(f"runs verify {made} --mend")
    assert (broken.code, "bring it back from a copy" in broken.out) == (1, True)
    assert "0.00 MB freed" in isoflop(f"runs gc {store.path}").out


def test_sql_is_answered_as_a_table_or_as_json(isoflop: Call, store: RunStore) -> None:
    pytest.importorskip("duckdb")
    query = "select state, count(*) n from runs group by state"
    assert json.loads(isoflop(f"runs sql {store.path} --json", query).out) == [{"state": "finished", "n": 12}]
    assert "finished" in isoflop(f"runs sql {store.path}", query).out


def test_a_store_that_is_not_there_is_not_made(isoflop: Call, tmp_path: Path) -> None:
    called = isoflop(f"runs ls {tmp_path / 'nowhere'}")
    assert called.code == 1
    assert "no run store" in called.err
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_key_in_a_study_names_the_nearest_and_trains_nothing(
    isoflop: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("tokns = [1e5]\nshapes = []\n")
    called = isoflop("sweep study.toml")
    assert called.code == 2
    assert "did you mean 'tokens'?" in called.err
    assert not Path("runs").exists()


TINY = """
corpus = "{corpus}"
shapes = [{{ n_layer = 1, d_model = [4, 8], n_head = 1, n_ctx = 8, n_vocab = 256 }}]
tokens = [400]
train = {{ learning_rate = {rate}, batch_tokens = 8 }}
"""


def test_a_sweep_whose_runs_diverge_says_at_which_step_and_that_fits_leave_them_out(
    isoflop: Call, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 100)
    (tmp_path / "study.toml").write_text(TINY.format(corpus=tmp_path / "text.txt", rate="1e38"))
    called = isoflop(f"sweep {tmp_path / 'study.toml'} --store {tmp_path / 'store'}")
    assert called.code == 0
    assert re.search(r"diverged: the loss was not finite at step \d+; left out of fits", called.err)
    assert "2 diverged" in called.out


def test_a_corpus_that_is_too_short_leaves_no_store_behind(isoflop: Call, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("short")
    (tmp_path / "study.toml").write_text(TINY.format(corpus=tmp_path / "text.txt", rate="0.01"))
    called = isoflop(f"sweep {tmp_path / 'study.toml'} --store {tmp_path / 'store'}")
    assert called.code == 1
    assert "less than one context of 8" in called.err
    assert not (tmp_path / "store").exists()


def test_a_sweep_records_what_was_done_to_its_corpus(isoflop: Call, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tokenizers")
    text = "".join(f"line {index} of a text, and {index * index} more\n" for index in range(2000))
    texts = tmp_path / "texts"
    texts.mkdir()
    for index in range(30):
        (texts / f"{index}.txt").write_text(text[index * 900 : (index + 1) * 900])
    (texts / "copy.txt").write_text((texts / "3.txt").read_text())
    (other := tmp_path / "other.txt").write_text("".join(f"{index} is another\n" for index in range(200)))
    (tmp_path / "study.toml").write_text(
        f"""tokens = [640]
        shapes = [{{ n_layer = 1, d_model = 4, n_head = 1, n_ctx = 16, n_vocab = 300 }}]
        train = {{ batch_tokens = 64, learning_rate = 0.01, eval_tokens = 64, evaluations = 1, transfer = ["{other}"] }}
        corpus = {{ source = "{texts}", tokenizer = "bpe", n_vocab = 300, deduplicate = "exact" }}"""
    )
    sweep = f"sweep {tmp_path / 'study.toml'} --store {tmp_path / 'store'} --workers 1"
    assert isoflop(sweep).code == 0
    (record,) = RunStore(tmp_path / "store")
    corpus = json.loads(record.environment["corpus"])
    assert re.fullmatch(r"native \w+, products in float32", record.environment["engine"])
    assert corpus["fingerprint"] == record.spec["corpus"]
    assert corpus["settings"]["tokenizer"] == "bpe"
    (judged,) = json.loads(record.environment["transfer"])
    assert (judged["source"], [judged["fingerprint"]]) == (str(other), record.spec["transfer"])
    assert corpus["removed"]["exact duplicate"]["documents"] == 1
    assert (tmp_path / "store" / "cache" / record.spec["corpus"] / "removed.jsonl").exists()
    assert (isoflop(sweep).code, len(list(RunStore(tmp_path / "store")))) == (0, 1)


def test_info_as_json_names_the_cpu_and_the_packages(isoflop: Call) -> None:
    facts = json.loads(isoflop("info --json").out)
    assert facts["cores"] >= 1
    assert facts["packages"]["numpy"]
    shown = isoflop("info").out
    assert re.search(rf"cores +{facts['cores']:g} ", shown)
    assert not shown.startswith(" \n \n")


def test_a_process_prints_no_colour_where_no_color_is_set() -> None:
    env = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "isoflop", *GPT2.split()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "\x1b[" not in done.stdout


def test_a_report_is_one_page_or_a_folder_of_it_and_figures(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    alone = json.loads(isoflop(f"report {store.path} -o {tmp_path}/alone/r.html --compute 1e15 --json").out)
    assert Path(alone["report"]) == tmp_path / "alone" / "r.html"
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["r.html"]
    isoflop(f"report {store.path} -o {tmp_path}/folder --compute 1e15")
    assert {"report.html", "frontier.png"} <= {path.name for path in (tmp_path / "folder").iterdir()}


def test_a_live_report_is_served_until_it_is_interrupted(store: RunStore, isoflop: Call) -> None:
    assert "leave --output out" in isoflop(f"report {store.path} --live -o page.html").err
    command = [sys.executable, "-m", "isoflop", "report", str(store.path), "--live"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().rpartition(" ")[2].strip()
        with urlopen(url, timeout=60) as page:
            assert "<h1>Scaling study: store</h1>" in page.read().decode()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
