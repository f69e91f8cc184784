"""What a user does, start to end: a real sweep from the command line; every command and snippet of README and docs."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pages import DOCS, PAGES, ROOT, fenced, user_files

(STUDY,) = fenced(DOCS / "how-to" / "run-a-study.md", "toml")

# What a line of the pages needs, from a line above it or taken for granted: a file, and the line that makes it.
NEEDS = {
    "--fit fit.json": ("fit.json", "isoflop fit runs/study --law chinchilla --save fit.json"),
    " runs/wandb": (
        "runs/wandb",
        (
            "isoflop runs import runs/wandb export.csv --map run=Name --map N=n_params --map D=tokens "
            "--map loss=eval/loss --n-convention total --loss-unit nats/token"
        ),
    ),
} | {
    f" runs/{system}": (
        f"runs/{system}",
        (
            f"isoflop runs import runs/{system} runs.csv --where \"optimizer == '{system}'\" --map run=run --map N=N "
            "--map D=D --map loss=loss --n-convention non-embedding --loss-unit nats/token"
        ),
    )
    for system in ("adamw", "muon")
}


def arguments(command: str) -> list[str]:
    """Of Python, for a command of the pages: ``python FILE`` or an installed one."""
    words = shlex.split(command, comments=True)
    return words[1:] if words[0] == "python" else ["-m", *words]


def isoflop(command: str, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user would, in ``folder``."""
    done = subprocess.run(
        [sys.executable, *arguments(command)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a study file and its twelve runs, made in less than a minute of a core."""
    pytest.importorskip("torch")
    here = tmp_path_factory.mktemp("user")
    (here / "study.toml").write_text(STUDY)
    for name, text in user_files().items():
        (here / name).write_text(text)
    for name in ("examples", "bench"):  # copies: what commands write there is not the checkout's
        shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns("out", "__pycache__"))
    (here / "tests").symlink_to(ROOT / "tests")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    isoflop("isoflop sweep study.toml", here)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60
    return here


def runs_of(folder: Path) -> dict[str, bytes]:
    files = (folder / "runs" / "study" / "runs").glob("*/*.json*")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_sweep_makes_every_run_and_larger_models_are_better_at_the_largest_D(folder: Path) -> None:
    runs = json.loads(isoflop("isoflop runs ls runs/study --json", folder).stdout)
    assert len(runs) == 12
    assert {run["state"] for run in runs} == {"finished"}
    largest = sorted((run["N"], run["loss"]) for run in runs if run["D"] > 3e5)
    losses = [loss for _, loss in largest]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)


def test_a_second_sweep_trains_nothing_and_touches_no_run(folder: Path) -> None:
    before = runs_of(folder)
    done = isoflop("isoflop sweep study.toml", folder)
    assert "12 runs are done already; 0 to go" in done.stderr
    assert runs_of(folder) == before


def test_fits_plan_and_report_follow_from_the_runs(folder: Path) -> None:
    answer = json.loads(isoflop("isoflop fit runs/study --compute 1e12 --json", folder).stdout)
    assert {"chinchilla", "kaplan"} <= {law["law"] for law in answer["laws"]} | set(answer["skipped"])
    assert 1e3 < answer["plan"]["n_params"] < 1e8
    reported = json.loads(isoflop("isoflop report runs/study --compute '1e12 FLOP' --json", folder).stdout)
    assert reported["plan"] == answer["plan"]
    assert Path(folder, reported["report"]).stat().st_size > 50_000


# Commands that another check runs: the whole demo and the make targets are steps of .ci/run, or of tests/test_pages.py.
ELSEWHERE = ("make ",)


def lines() -> dict[str, str]:
    """The commands of the pages, each once, and the first page that has it."""
    found: dict[str, str] = {}
    for page in PAGES:
        for block in fenced(page, "sh"):
            for line in block.splitlines():
                if (command := line.partition("#")[0].strip()) and not command.startswith(ELSEWHERE):
                    found.setdefault(command, page.name)
    return found


LINES = [pytest.param(line, id=f"{page}: {line}") for line, page in lines().items()]
ON_A_GPU = [line for line in LINES if "--device cuda" in line.values[0]]
UNTIL_STOPPED = [line for line in LINES if "--live" in shlex.split(line.values[0], comments=True)]
COMMANDS = [line for line in LINES if line not in ON_A_GPU + UNTIL_STOPPED]
SNIPPETS = [pytest.param(code, id=page.name) for page in PAGES for code in fenced(page, "python")]
SNIPPETS.append(pytest.param((ROOT / "docs" / "tutorial.py").read_text(), id="tutorial.py"))


@pytest.mark.parametrize("line", UNTIL_STOPPED)
def test_a_command_of_the_pages_that_serves_ends_by_an_interrupt(line: str, folder: Path) -> None:
    command = [sys.executable, "-u", "-m", *shlex.split(line, comments=True)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            assert "http://127.0.0.1" in serving.stdout.readline()
            serving.send_signal(signal.SIGINT)
            assert serving.wait(60) == 0
        finally:
            serving.kill()


def test_the_pages_hold_commands_and_snippets_to_run() -> None:
    assert len(COMMANDS) >= 10
    assert len(SNIPPETS) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_pages_works_as_printed(command: str, folder: Path) -> None:
    for words, (file, line) in NEEDS.items():
        if words in command and not (folder / file).exists():
            isoflop(line, folder)
    assert isoflop(command, folder).stdout


@pytest.mark.parametrize("command", ON_A_GPU)
def test_every_command_for_a_gpu_says_what_is_missing_where_there_is_none(command: str, folder: Path) -> None:
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("a GPU is there")
    refused = isoflop(command, folder, code=1).stderr
    assert refused.startswith("error: device cuda: torch ")
    assert "--device cpu" in refused


@pytest.mark.parametrize("code", SNIPPETS)
def test_every_snippet_of_the_pages_runs(code: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readme_snippet_prints_the_numbers_it_promises(tmp_path: Path) -> None:
    (code,) = fenced(ROOT / "README.md", "python")
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120).stdout
    assert "124439808 85056000" in out
    assert "7.236e+10" in out
    assert re.search(r"mean absolute relative error 0\.\d+%", out)
