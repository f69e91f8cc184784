"""What the pages show and no reader's machine can run as printed: lines for clusters and clones, excerpts, tables.

The rest, every ``sh`` and ``python`` fence, test_user.py runs as it is printed.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pages import DOCS, PAGES, ROOT, fenced, fences

HELD = {
    "sh": "run by test_user.py",
    "python": "run by test_user.py",
    "bash": "lines for clusters and clones, below",
    "py": "excerpts, below; kernel-levels.md by kernels/test_levels.py",
    "py nanogpt": "run by adapters/test_nanogpt.py",
    "toml": "tables and files, below",
    "console": "run over ../shared/data by importers/test_public_runs.py",
}
EXAMPLES = ("clamp", "nice")  # an op and an executor that the pages make up
LINES = [line for page in PAGES for code in fenced(page, "bash") for line in code.splitlines()]
EXCERPTS = {page.name: fenced(page, "py") for page in PAGES if fenced(page, "py")}
TABLES = {page.name: fenced(page, "toml") for page in PAGES if fenced(page, "toml")}


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line, comments=True)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_every_fence_of_the_pages_is_held_by_a_test() -> None:
    assert {words for page in PAGES for words, _ in fences(page)} == HELD.keys()
    opened = sum(page.read_text().count("\n```") for page in PAGES)
    assert opened == 2 * sum(len(fences(page)) for page in PAGES)
    assert EXCERPTS.keys() == {"trainers.md", "add-an-op.md", "add-an-executor.md", "kernel-levels.md"}
    assert TABLES.keys() == {"counting.md", "data.md", "add-a-law.md", "run-a-study.md", "study.md"}


def test_make_has_every_target_that_the_pages_name() -> None:
    named = {
        line.split()[1]
        for page in PAGES
        for code in fenced(page, "sh")
        for line in code.splitlines()
        if line[:5] == "make "
    }
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets
    assert {"demo", "test", "laws", "bench"} <= named


# Lines for clusters and clones


def taken(prefix: str) -> list[Any]:
    found = [pytest.param(line, id=line) for line in LINES if re.match(prefix, line)]
    assert found, prefix
    return found


OF_A_SWEEP, OF_TORCHRUN = taken("isoflop sweep "), taken("torchrun ")
OF_PYTEST, OF_A_BENCH = taken("(TRITON_INTERPRET=1 )?python -m pytest "), taken(r"python bench/\w+.py$")
OF_A_MODULE, OF_AN_ENVIRONMENT = taken("PYTHONPATH=tests python -m "), taken("python -m venv ")


def test_every_line_for_a_cluster_or_a_clone_is_of_a_kind_below() -> None:
    kinds = OF_A_SWEEP + OF_TORCHRUN + OF_PYTEST + OF_A_BENCH + OF_A_MODULE + OF_AN_ENVIRONMENT
    assert sorted(kind.values[0] for kind in kinds) == sorted(LINES)


@pytest.fixture
def with_study(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="needs the extra train")
    (tmp_path / "study.toml").write_text(TABLES["run-a-study.md"][0])
    return tmp_path


def here(line: str, folder: Path) -> str:
    """The line with paths of this machine, as far as it goes without a cluster: what it would run."""
    return f"{line.partition('#')[0].strip()} --dry-run".replace("/shared/", f"{folder}/")


@pytest.mark.parametrize("line", OF_A_SWEEP)
def test_a_sweep_on_a_cluster_is_one_whose_executor_takes_its_options(line: str, with_study: Path) -> None:
    name = re.search(r"--executor (\w+)", line)
    assert name is not None
    pytest.importorskip({"slurm": "submitit"}.get(name[1], name[1]), reason=f"needs the extra {name[1]}")
    done = run(f"-m {here(line, with_study)}", with_study)
    assert done.returncode == 0, done.stderr
    assert "12 runs" in done.stdout
    wrong = run(f"-m {here(line.replace(name[1], name[1][:-1]), with_study)}", with_study)
    assert wrong.returncode == 2
    assert f"did you mean {name[1]!r}" in wrong.stderr


@pytest.mark.parametrize("line", OF_TORCHRUN)
def test_a_line_of_torchrun_starts_its_processes(line: str, with_study: Path) -> None:
    nodes, processes = (int(re.search(rf"--{word} (\d+)", line)[1]) for word in ("nnodes", "nproc-per-node"))  # type: ignore[index]
    small = line.replace(f"--nnodes {nodes}", "--standalone").replace(f"node {processes}", "node 2")
    done = run(f"-m torch.distributed.run {here(small, with_study).removeprefix('torchrun ')}", with_study)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("12 runs") == 2


@pytest.mark.parametrize("line", OF_PYTEST)
def test_lines_of_pytest_name_files_and_tests_that_are_there(line: str) -> None:
    words = shlex.split(line)
    for word in words[words.index("pytest") + 1 :]:
        made_up = any(name in word for name in EXAMPLES)
        assert made_up or word == "-k" or (ROOT / word).exists(), word
        folder = Path(word).parent
        assert not made_up or word in EXAMPLES or list((ROOT / folder).glob("check_*.py"))


@pytest.mark.parametrize("line", OF_A_BENCH)
def test_what_a_bench_takes_is_told(line: str) -> None:
    """Their small forms are run by designing/test_worth.py."""
    done = run(line.removeprefix("python ") + " --help", ROOT)
    assert done.returncode == 0, done.stderr
    assert line in done.stdout


@pytest.mark.parametrize("line", OF_A_MODULE)
def test_a_module_that_is_run_is_there_and_takes_a_word(line: str) -> None:
    pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
    from proof import budgets

    assert line == "PYTHONPATH=tests python -m proof.budgets clamp"
    (word,) = inspect.signature(budgets.write).parameters
    assert word == "prefix"
    assert any(name.startswith("dropout") for name in budgets.jobs("sm_90"))


@pytest.mark.parametrize("line", OF_AN_ENVIRONMENT)
def test_the_extras_of_an_environment_are_those_of_the_package(line: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for inside in re.findall(r"\[([a-z,]+)\]", line) for name in inside.split(",")}
    assert named == {"train", "slurm", "ray", "gpu"} <= extras.keys()


# Excerpts


TRAINERS = {"lightning": "lightning", "accelerate": "accelerate", "torchtitan": "torchtitan", "composer": "composer"}


@pytest.mark.filterwarnings("default")  # of libraries, about each other
@pytest.mark.parametrize("name", TRAINERS)
def test_the_lines_for_a_trainer_run_among_its_variables(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    reasons = {"composer": "composer is not installed: it asks for an older torch"}
    library = pytest.importorskip(name, reason=reasons.get(name, f"needs {name}"))
    (code,) = (code for code in EXCERPTS["trainers.md"] if f"isoflop.adapters.{name}" in code)
    from adapters.models import Decoder, tokens
    from isoflop.runs import RunStore

    metrics = SimpleNamespace(logger=SimpleNamespace(log=lambda metrics, step: None, close=lambda: None))
    known = {
        name: library, "store": RunStore(tmp_path / "store"), "model": Decoder(), "data": tokens(4), "steps": 1000,
        "global_batch_size": 64, "seq_len": 1024, "trainer": SimpleNamespace(metrics_processor=metrics),
        "composer_model": Decoder(),
    }  # fmt: skip
    exec(code, known)
    assert known.get("logger", known.get("tracker")) is not None


def test_the_op_of_the_page_is_what_its_row_says() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra train")
    from isoflop.kernels import signatures
    from isoflop.kernels.signatures.op import Argument, Op

    definition, row = EXCERPTS["add-an-op.md"]
    assert not hasattr(signatures, "clamp")
    known: dict[str, Any] = {"Tensor": torch.Tensor, "Op": Op, "Argument": Argument}
    exec(definition, known)
    op = eval(f"{{{row}}}", known)["clamp"]
    taken = inspect.signature(known["clamp"]).parameters
    assert set(taken) == {*(argument.name for argument in op.tensors), *op.hyper, *op.settings}


def test_the_executor_of_the_page_makes_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    from isoflop.errors import SpecError
    from isoflop.sweep import executors

    page = DOCS / "how-to" / "add-an-executor.md"
    (worker,), (executor,) = fenced(page, "python"), fenced(page, "py")
    module = ModuleType("isoflop.sweep.nice")
    exec(worker, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = dict(vars(executors))
    exec(executor, known)
    made = known["nice"](None, {"level": 3})
    assert isinstance(made, partial)
    assert made.keywords["worker"]().command == ["nice", "-n", "3"]
    with pytest.raises(SpecError, match="depth"):
        known["nice"](None, {"depth": 3})


# Tables


def test_the_law_of_the_page_is_one() -> None:
    from isoflop.laws.emit import emit
    from isoflop.laws.law import Law

    (table,) = TABLES["add-a-law.md"]
    ((name, declared),) = tomllib.loads(table).items()
    law = Law.declared(name, declared)
    module: dict[str, Any] = {}
    exec(emit(law), module)
    constants = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 1500.0, "beta": 0.37}
    assert law.predict(constants, N=1e8, D=1e9) == pytest.approx(
        1.7 + 400 / 1e8**0.34 + 1500 / (1e9 / 1e8**0.25) ** 0.37
    )
    assert module["NAMES"] == tuple(constants)


def test_sizes_that_a_study_asks_for_near_a_goal_are_met(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    from isoflop.sweep.resolve import load_corpora, resolve
    from isoflop.sweep.study import parse_study

    (near,) = TABLES["counting.md"]
    shape = {"n_ctx": 32, "n_vocab": 256}
    study = parse_study(tomllib.loads(near) | {"shape": shape, "tokens": [1e5], "train": {"evaluations": 1}})
    sizes = [spec.shape.n_nonembedding for spec in resolve(study, *load_corpora(study, tmp_path))]
    assert sizes == pytest.approx([1e4, 1e5, 1e6], rel=0.02)


def test_the_study_of_the_page_on_data_reads_its_corpus(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs the extra data")
    (study,) = TABLES["data.md"]
    (tmp_path / "tidy.toml").write_text(study)
    (tmp_path / "text").mkdir()
    for number, source in enumerate([*(ROOT / "python").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
        (tmp_path / "text" / f"{number}.txt").write_text(source.read_text())
    done = run("-m isoflop sweep tidy.toml --dry-run", tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_page_on_studies_shows_the_studies_of_the_examples() -> None:
    for shown in TABLES["study.md"]:
        (file,) = re.findall(r'^--8<-- "(.*)"$', shown, re.MULTILINE)
        assert tomllib.loads((ROOT / file).read_text())["name"]
