"""A small text, studies of runs that take a fraction of a second, and processes to end at bad moments."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from isoflop.data import Corpus, load_corpus
from isoflop.runs import RunStore
from isoflop.sweep.resolve import resolve
from isoflop.sweep.study import parse_study
from isoflop.train.spec import TrainSpec

STUDY: dict[str, Any] = {
    "shape": {"n_layer": 1, "n_head": 1, "n_ctx": 16, "n_vocab": 256},
    "shapes": [{"d_model": [4, 8]}],
    "tokens": [3200, 6400],
    "train": {"batch_tokens": 64, "learning_rate": 0.01, "evaluations": 1, "eval_tokens": 512},
}


class Seen:
    """A watcher that remembers: what began, the steps of each run, how each ended; calls ``on_step`` amid them."""

    def __init__(self, on_step: Callable[[TrainSpec, int], None] | None = None) -> None:
        self.begun: list[TrainSpec] = []
        self.found = -1
        self.steps: list[tuple[TrainSpec, int]] = []
        self.ends: list[tuple[TrainSpec, str, str | None]] = []
        self.retried: list[tuple[TrainSpec, str | None]] = []
        self._on_step = on_step
        self._inside = threading.Lock()

    def begin(self, specs: Sequence[TrainSpec], ended: int) -> None:
        self.begun, self.found = list(specs), ended

    def step(self, spec: TrainSpec, step: int) -> None:
        assert self._inside.acquire(blocking=False), "one call at a time"
        self.steps.append((spec, step))
        if self._on_step is not None:
            self._on_step(spec, step)
        self._inside.release()

    def again(self, spec: TrainSpec, error: str | None) -> None:
        assert self._inside.acquire(blocking=False), "one call at a time"
        self.retried.append((spec, error))
        self._inside.release()

    def end(self, spec: TrainSpec, state: str, error: str | None) -> None:
        assert self._inside.acquire(blocking=False), "one call at a time"
        self.ends.append((spec, state, error))
        self._inside.release()


@pytest.fixture
def watch() -> type[Seen]:
    return Seen


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source code of one package: about 5e5 bytes in some thirty documents, a few of them held out."""
    folder = tmp_path_factory.mktemp("text")
    for file in Path(str(asyncio.__file__)).parent.glob("*.py"):
        shutil.copy(file, folder)
    for index in range(20):
        (folder / f"{index}.txt").write_text(f"document {index}\n" + "a line of text\n" * 20)
    return folder


@pytest.fixture(scope="session")
def corpus(text: Path) -> Corpus:
    return load_corpus(str(text))


@pytest.fixture(scope="session")
def make_specs(corpus: Corpus) -> Callable[..., list[TrainSpec]]:
    """The runs of the small study, with changes to it; ``train`` changes settings one by one."""

    def make(train: dict[str, Any] | None = None, **changes: Any) -> list[TrainSpec]:
        return resolve(parse_study(STUDY | changes | {"train": STUDY["train"] | (train or {})}), corpus)

    return make


@pytest.fixture
def store(tmp_path: Path, text: Path) -> RunStore:
    """A new store whose cache holds the corpus."""
    store = RunStore(tmp_path / "store")
    load_corpus(str(text), store.cache)
    return store


_LAUNCH = """
import json, sys
from isoflop.runs import RunStore
from isoflop.sweep.launcher import run_sweep
from isoflop.train.spec import TrainSpec
specs = [TrainSpec.from_dict(values) for values in json.load(sys.stdin)]
result = run_sweep(specs, RunStore(sys.argv[1]), workers=int(sys.argv[2]))
print(json.dumps({"found": result.found, "states": result.states}))
"""


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that calls ``run_sweep``; what is left of any is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(specs: list[TrainSpec], store: RunStore, workers: int = 1) -> subprocess.Popen[str]:
        import json

        jobs = tmp_path / "specs.json"
        jobs.write_text(json.dumps([spec.to_dict() for spec in specs]))
        with jobs.open() as stdin:
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(store.path), str(workers)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
