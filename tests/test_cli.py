"""The command line: data on standard output, errors in words on standard error, exit codes that tell them apart."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from isoflop import cli
from isoflop.runs import Recorder, RunStore

VERBS = [
    "demo",
    "sweep",
    "fit",
    "plan",
    "count",
    "report",
    "bench",
    "info",
    "laws",
    "laws show",
    "runs ls",
    "runs show",
]
GPT2 = "count --n-layer 12 --d-model 768 --n-head 12 --n-ctx 1024 --n-vocab 50257"


@dataclass
class Called:
    code: int
    out: str
    err: str


@pytest.fixture
def isoflop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Call the command line in this process."""

    def call(words: str, *more: str) -> Called:
        monkeypatch.setattr(sys, "argv", ["isoflop", *words.split(), *more])
        with pytest.raises(SystemExit) as ended:
            sys.exit(cli.main())
        captured = capsys.readouterr()
        return Called(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(tmp_path / "store")
    for n in (1e3, 1e4, 1e5, 1e6):
        for d in (1e6, 1e7, 1e8):
            loss = 1.5 + 20 / n**0.4 + 90 / d**0.3
            with Recorder(made, {"n": n, "d": d}, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
                rec.log(1, tokens=d, loss=loss)
                rec.finish(loss=loss, tokens=d)
    return made


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_ends_in_an_example(isoflop: Callable[..., Called], verb: str) -> None:
    called = isoflop(f"{verb} --help")
    assert called.code == 0
    assert f"Example: isoflop {verb}" in called.out


def test_count_as_json_holds_the_exact_parameters(isoflop: Callable[..., Called]) -> None:
    counted = json.loads(isoflop(f"{GPT2} --json").out)
    assert counted["n_params"] == 124_439_808
    assert counted["table1"][1]["params"] == 21_233_664


def test_count_as_a_table_names_every_convention(isoflop: Callable[..., Called]) -> None:
    called = isoflop(GPT2)
    assert called.code == 0
    assert "124,439,808" in called.out
    assert all(name in called.out for name in ("kaplan-6n", "kaplan-table1", "6n-total", "exact-causal"))


def test_a_published_model_is_counted_by_its_name_with_its_source(isoflop: Callable[..., Called]) -> None:
    counted = json.loads(isoflop("count gpt2-xl --json").out)
    assert counted["n_params"] == counted["published"]["params"] == 1_557_611_200
    table = isoflop("count chinchilla").out
    assert "chinchilla-70b: 70,000,000,000 parameters as published; Hoffmann et al. 2022" in table
    assert "of them 5,368,709,120 of kinds not counted here" in table


def test_a_name_gives_what_its_fields_give(isoflop: Callable[..., Called]) -> None:
    named, given = (json.loads(isoflop(f"{words} --json").out) for words in ("count gpt2", GPT2))
    assert named.pop("published")["name"] == "gpt2"
    assert named == given


def test_fields_beside_a_name_replace_its_own(isoflop: Callable[..., Called]) -> None:
    changed = json.loads(isoflop("count gpt2 --n-layer 24 --no-bias --field window=128 --seq 256 --json").out)
    assert "published" not in changed
    assert changed["shape"]["n_layer"] == 24
    assert changed["shape"]["bias"] is False
    assert changed["shape"]["window"] == 128
    assert changed["seq"] == 256
    assert json.loads(isoflop("count gpt2 --field norm=rms --json").out)["shape"]["norm"] == "rms"


def test_conventions_stand_side_by_side_and_one_may_be_asked_for(isoflop: Callable[..., Called]) -> None:
    every = json.loads(isoflop("count llama-3-8b --batch 4 --json").out)
    assert len(every["training_flops_per_token"]) >= 5
    assert every["ratio_to_exact"]["exact"] == 1
    one = json.loads(isoflop("count llama-3-8b --batch 4 --convention exact --json").out)
    assert one["training_flops"] == {"exact": every["training_flops"]["exact"]}
    assert one["training_flops"]["exact"] == pytest.approx(5.791e10 * 4 * 8192, rel=1e-3)


def test_a_device_adds_its_time_memory_and_utilisation(isoflop: Callable[..., Called]) -> None:
    on = json.loads(isoflop("count gpt2 --device h100-sxm --batch 8 --json").out)["device"]
    assert on["name"] == "h100-sxm"
    assert 0 < on["mfu"]["exact-causal"] < 1
    assert on["largest_batch"] > 8
    table = isoflop("count gpt2 --device h100-sxm --batch 8 --convention exact-causal").out
    assert "dense peak" in table
    assert "MFU at best" in table
    assert isoflop("count gpt2 --device t4 --dtype fp16").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("count gpt2xl", "did you mean 'gpt2-xl'?"),
        ("count gpt2 --convention exakt", "did you mean 'exact'?"),
        ("count gpt2 --device h100-sxn", "did you mean 'h100-sxm'?"),
        ("count gpt2 --device t4", "no published rate of bf16"),
        ("count gpt2 --field windw=3", "did you mean 'window'?"),
        ("count gpt2 --field window", "write --field window=VALUE"),
        ("count --n-layer 2", "a shape needs d_model, n_head, n_ctx, n_vocab"),
        ("count gpt2 --batch 0", "batch is 0"),
    ],
)
def test_what_cannot_be_counted_exits_2_and_says_what_could(
    isoflop: Callable[..., Called], words: str, message: str
) -> None:
    called = isoflop(words)
    assert (called.code, called.out) == (2, "")
    assert message in called.err


def test_a_shape_that_cannot_be_exits_2_and_says_what_could(isoflop: Callable[..., Called]) -> None:
    called = isoflop(GPT2.replace("768", "770"))
    assert (called.code, called.out) == (2, "")
    assert "d_model is 770" in called.err
    assert "hint: use d_model = 768" in called.err


def test_plan_from_a_published_set_names_it_and_its_source(isoflop: Callable[..., Called]) -> None:
    called = isoflop("plan --law chinchilla-besiroglu --compute", "5.76e23 FLOP")
    assert "7.236e+10" in called.out
    assert "arXiv 2404.10102" in called.out


def test_laws_are_listed_with_formula_and_source(isoflop: Callable[..., Called]) -> None:
    listed = isoflop("laws")
    assert listed.code == 0
    for word in ("chinchilla", "muennighoff", "multi-power", "Hoffmann 2022"):
        assert word in listed.out
    rows = {row["name"]: row for row in json.loads(isoflop("laws --json").out)}
    assert rows["chinchilla"]["formula"] == "L = E + A/N**alpha + B/D**beta"
    assert "chinchilla-besiroglu" in rows["chinchilla"]["sets"]


def test_a_law_is_shown_with_its_meaning_constants_intervals_and_source(isoflop: Callable[..., Called]) -> None:
    shown = isoflop("laws show chinchilla").out
    for word in ("E + A/N**alpha + B/D**beta", "no amount of scale removes", "0.34781303", "285.214 to 743.626"):
        assert word in shown
    assert "[not verified]" in isoflop("laws show batch-d").out
    sheet = json.loads(isoflop("laws show kaplan-table2 --json").out)
    assert sheet["law"]["name"] == "kaplan"
    assert sheet["sets"][0]["values"]["D_c"] == 1.8e13
    assert sheet["sets"][0]["verified"] is True


@pytest.mark.parametrize("name", ["kaplan-table6", "porian-refinedweb-tuned", "multi-power", "clark"])
def test_sets_of_every_kind_are_shown(isoflop: Callable[..., Called], name: str) -> None:
    assert isoflop(f"laws show {name}").code == 0
    assert json.loads(isoflop(f"laws show {name} --json").out)["sets"]


def test_a_law_that_is_not_there_names_the_nearest(isoflop: Callable[..., Called]) -> None:
    missing = isoflop("laws show chinchila")
    assert missing.code == 2
    assert "did you mean 'chinchilla'?" in missing.err


def test_an_unreadable_budget_exits_2_and_says_how_to_write_it(isoflop: Callable[..., Called]) -> None:
    called = isoflop("plan --compute", "many FLOPs")
    assert (called.code, called.out) == (2, "")
    assert "hint: write FLOPs or PF-days" in called.err


def test_an_unknown_published_set_names_the_nearest(isoflop: Callable[..., Called]) -> None:
    called = isoflop("plan --compute 1e24 --law chinchilla-besiroglou")
    assert called.code == 2
    assert "did you mean 'chinchilla-besiroglu'?" in called.err


def test_a_fit_saved_and_planned_from_equals_the_fit_planned_from_the_store(
    isoflop: Callable[..., Called], store: RunStore, tmp_path: Path
) -> None:
    saved = tmp_path / "fit.json"
    assert "alpha" in isoflop(f"fit {store.path} --law chinchilla --save {saved}").out
    from_fit = json.loads(isoflop(f"plan --compute 1e15 --fit {saved} --json").out)
    from_store = json.loads(isoflop(f"plan --compute 1e15 --store {store.path} --json").out)
    assert from_fit == from_store
    assert from_fit["intervals"]["n_params"][0] <= from_fit["n_params"] <= from_fit["intervals"]["n_params"][1]


def test_fit_without_a_law_shows_all_of_them_and_the_plan(isoflop: Callable[..., Called], store: RunStore) -> None:
    answer = json.loads(isoflop(f"fit {store.path} --compute 1e15 --json").out)
    assert answer["best"] == "chinchilla"
    assert {"chinchilla", "kaplan", "power-n", "power-c"} <= {law["law"] for law in answer["laws"]}
    table = isoflop(f"fit {store.path} --compute 1e15").out
    assert "planned from chinchilla" in table
    assert "held out" in table


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """A file of runs under other names, with a metric that rises."""
    lines = ["Model Size,FLOP,loss,acc"]
    for i, n in enumerate((1e6, 3e6, 1e7, 3e7, 1e8)):
        for k, d in enumerate((1e8, 1e9, 1e10, 1e11)):
            loss = (1.5 + 200 / n**0.4 + 900 / d**0.3) * (1 + 0.004 * math.sin(7 * i + 3 * k * k))
            lines.append(f"{n},{6 * n * d},{loss},{1 - loss / 10}")
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


COLUMNS = ("--column", "N=Model Size", "--column", "C=FLOP", "--column", "L=loss")


def test_a_file_of_runs_is_fitted_with_all_there_is_to_know(isoflop: Callable[..., Called], points: Path) -> None:
    asked = f"fit {points} --law chinchilla --objective huber:1e-3 --holdout D --rollout N --test chinchilla-hoffmann"
    shown = isoflop(asked, *COLUMNS)
    assert shown.code == 0
    for said in (
        "chinchilla: L = E + A/N**alpha + B/D**beta",
        "20 runs, Huber (delta 0.001) of log residuals, objective ",
        "24 starts agree",
        "95% of 1000 resamples",
        "4 runs of the largest N held out",
        "5 runs of the largest D held out",
        "note: D was not given: taken as C/(6 N)",
        "data: points.csv, sha256 ",
        "N up to",
        "chi^2(5) = ",
    ):
        assert said in shown.out, said
    answer = json.loads(isoflop(f"{asked} --json", *COLUMNS).out)
    assert answer["criterion"] == {"name": "huber", "delta": 1e-3, "log": True}
    assert answer["holdout"]["by"] == "D"
    assert [step["n_fitted"] for step in answer["rollout"]["steps"]] == [12, 16]
    assert answer["tests"][0]["df"] == 5


def test_restrictions_of_parameters_are_said_on_the_command_line(isoflop: Callable[..., Called], points: Path) -> None:
    asked = f"fit {points} --law chinchilla --fix E=1.5 --bound A=1:1e4 --tie alpha=beta"
    shown = isoflop(asked, *COLUMNS).out
    assert "restricted: E = 1.5 fixed, A in (1, 10000), alpha = beta" in shown
    own, named = (
        json.loads(isoflop(f"fit {points} --json", "--law", law, *COLUMNS).out)
        for law in ("L = E + P/N**p + Q/D**q", "chinchilla")
    )
    assert own["objective"] == pytest.approx(named["objective"], rel=1e-9)


def test_several_laws_are_compared(isoflop: Callable[..., Called], points: Path) -> None:
    asked = f"fit {points} --law chinchilla --law kaplan --law chinchilla-tied --holdout N"
    shown = isoflop(asked, *COLUMNS).out
    assert "held out by N" in shown
    assert "chinchilla-tied within chinchilla: likelihood ratio" in shown
    answer = json.loads(isoflop(f"{asked} --json", *COLUMNS).out)
    assert {law["law"] for law in answer["laws"]} == {"chinchilla", "kaplan", "chinchilla-tied"}


def test_several_targets_are_fitted_and_rising_ones_said(isoflop: Callable[..., Called], points: Path) -> None:
    asked = f"fit {points} --law chinchilla --target loss --target acc"
    shown = isoflop(asked, *COLUMNS).out
    assert "acc rises with scale and chinchilla falls: fitted as its error, 1 - acc" in shown
    answer = json.loads(isoflop(f"{asked} --json", *COLUMNS).out)
    assert set(answer["fits"]) == {"loss", "acc"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--objective hubr:1e-3", "did you mean 'huber'?"),
        ("--objective huber:small", "'small' in 'huber:small' is no number"),
        ("--objective lad:3", "lad takes no number"),
        ("--law L=E+A/N**", "cannot read"),
        ("--law L=E+A/x**alpha", "has no input among"),
        ("--law chinchila", "did you mean 'chinchilla'?"),
        ("--fix E", "cannot read 'E'"),
        ("--fix E=low", "'low' is no number"),
        ("--bound E=2", "'2' is no interval"),
        ("--column L=lass", "did you mean 'loss'?"),
        ("--holdout L", "cannot hold out by 'L'"),
        ("--test hoffman", "unknown preset 'hoffman'"),
        ("--law chinchilla --law kaplan --fix E=1", "these options are for one law"),
        ("--weights acc --sigma los", "sigma: the data have no column 'los'"),
    ],
)
def test_a_wrong_word_to_fit_is_named(isoflop: Callable[..., Called], points: Path, words: str, said: str) -> None:
    called = isoflop(f"fit {points} --json", *COLUMNS, *words.split())
    assert (called.code, called.out) in ((1, ""), (2, ""))
    assert said in called.err


def test_targets_are_columns_of_a_file_and_a_store_has_none(isoflop: Callable[..., Called], store: RunStore) -> None:
    called = isoflop(f"fit {store.path} --law chinchilla --target acc")
    assert (called.code, called.out) == (1, "")
    assert "--target names columns of a file; the run store" in called.err
    assert "isoflop fit points.csv" in called.err


def test_a_file_that_is_no_table_of_runs_is_refused(isoflop: Callable[..., Called], tmp_path: Path) -> None:
    (tmp_path / "runs.txt").write_text("N D L\n")
    called = isoflop(f"fit {tmp_path / 'runs.txt'}")
    assert called.code == 1
    assert "a run store, or a file .csv, .jsonl, .parquet" in called.err


def test_a_bad_value_in_a_file_is_named_by_row(isoflop: Callable[..., Called], points: Path) -> None:
    lines = points.read_text().splitlines()
    for bad, said in (("1e6,6e15,-3.1,0.5", "column 'L', row 4: -3.1"), (lines[1], "rows 0 and 4 are the same run")):
        points.write_text("\n".join([*lines[:5], bad, *lines[6:]]) + "\n")
        called = isoflop(f"fit {points} --law chinchilla", *COLUMNS)
        assert called.code == 1
        assert said in called.err


def test_runs_are_listed_and_one_is_shown_by_the_start_of_its_id(
    isoflop: Callable[..., Called], store: RunStore
) -> None:
    listed = json.loads(isoflop(f"runs ls {store.path} --json").out)
    assert len(listed) == 12
    assert "12 finished" in isoflop(f"runs ls {store.path}").out
    shown = json.loads(isoflop(f"runs show {store.path} {listed[0]['id'][:8]}").out)
    assert shown["id"] == listed[0]["id"]
    assert shown["state"] == "finished"


def test_a_store_that_is_not_there_is_not_made(isoflop: Callable[..., Called], tmp_path: Path) -> None:
    called = isoflop(f"runs ls {tmp_path / 'nowhere'}")
    assert called.code == 1
    assert "no run store" in called.err
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_key_in_a_study_names_the_nearest_and_trains_nothing(
    isoflop: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    isoflop: Callable[..., Called], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 100)
    (tmp_path / "study.toml").write_text(TINY.format(corpus=tmp_path / "text.txt", rate="1e38"))
    called = isoflop(f"sweep {tmp_path / 'study.toml'} --store {tmp_path / 'store'}")
    assert called.code == 0
    assert re.search(r"diverged: the loss was not finite at step \d+; left out of fits", called.err)
    assert "2 diverged" in called.out


def test_a_corpus_that_is_too_short_leaves_no_store_behind(isoflop: Callable[..., Called], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("short")
    (tmp_path / "study.toml").write_text(TINY.format(corpus=tmp_path / "text.txt", rate="0.01"))
    called = isoflop(f"sweep {tmp_path / 'study.toml'} --store {tmp_path / 'store'}")
    assert called.code == 1
    assert "less than one context of 8" in called.err
    assert not (tmp_path / "store").exists()


def test_a_sweep_records_what_was_done_to_its_corpus(isoflop: Callable[..., Called], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tokenizers")
    text = "".join(f"line {index} of a text, and {index * index} more\n" for index in range(2000))
    texts = tmp_path / "texts"
    texts.mkdir()
    for index in range(30):
        (texts / f"{index}.txt").write_text(text[index * 900 : (index + 1) * 900])
    (texts / "copy.txt").write_text((texts / "3.txt").read_text())
    (tmp_path / "study.toml").write_text(
        f"""tokens = [640]
        shapes = [{{ n_layer = 1, d_model = 4, n_head = 1, n_ctx = 16, n_vocab = 300 }}]
        train = {{ batch_tokens = 64, learning_rate = 0.01, eval_tokens = 64, evaluations = 1 }}
        corpus = {{ source = "{texts}", tokenizer = "bpe", n_vocab = 300, deduplicate = "exact" }}"""
    )
    assert (
        isoflop("sweep", str(tmp_path / "study.toml"), "--store", str(tmp_path / "store"), "--workers", "1").code == 0
    )
    (record,) = RunStore(tmp_path / "store")
    corpus = json.loads(record.environment["corpus"])
    assert corpus["fingerprint"] == record.spec["corpus"]
    assert corpus["settings"]["tokenizer"] == "bpe"
    assert corpus["removed"]["exact duplicate"]["documents"] == 1
    assert (tmp_path / "store" / "cache" / record.spec["corpus"] / "removed.jsonl").exists()
    again = isoflop("sweep", str(tmp_path / "study.toml"), "--store", str(tmp_path / "store"), "--workers", "1")
    assert (again.code, len(list(RunStore(tmp_path / "store")))) == (0, 1)


def test_a_fit_too_small_to_hold_runs_out_still_prints_and_says_so(
    isoflop: Callable[..., Called], tmp_path: Path
) -> None:
    store = RunStore(tmp_path / "few")
    for n in (1e3, 1e4, 1e5):
        with Recorder(store, {"n": n}, counts={"N": n, "D": 1e6, "C": 6e6 * n}) as rec:
            rec.finish(loss=10 / n**0.1 * (1 + 0.01 * math.sin(n)), tokens=1e6)
    called = isoflop(f"fit {store.path} --law power-n")
    assert called.code == 0
    assert "alpha" in called.out
    assert "not checked on held-out runs: power-n has 2 parameters" in called.out


def test_info_as_json_names_the_cpu_and_the_packages(isoflop: Callable[..., Called]) -> None:
    facts = json.loads(isoflop("info --json").out)
    assert facts["cores"] >= 1
    assert facts["packages"]["numpy"]


def test_a_process_prints_no_colour_where_no_color_is_set() -> None:
    env = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "isoflop", *GPT2.split()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "\x1b[" not in done.stdout
