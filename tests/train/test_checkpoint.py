"""A run goes on from its checkpoint as if it had never stopped, wherever it is killed; a cool-down from its trunk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.data import Corpus, load_corpus
from isoflop.errors import CheckpointError
from isoflop.runs import Recorder, RunStore, object_lease, run_id
from isoflop.runs.local import LocalFolder
from isoflop.train.checkpoint import NAME, Checkpoints, kept
from isoflop.train.loop import train_stack
from isoflop.train.spec import TrainSpec
from isoflop.train.trainer import train

MakeSpec = Callable[..., TrainSpec]


class Stopped(KeyboardInterrupt):
    """What an interrupt raises amid a run."""


def attempt(
    specs: list[TrainSpec], corpus: Corpus, store: RunStore, *, every: int, stop_at: int | None = None
) -> list[dict[str, np.ndarray]]:
    """Train a stack with checkpoints, interrupted after ``stop_at`` steps of the first run; the points of each run."""

    def stop(index: int, step: int) -> None:
        if (index, step) == (0, stop_at):
            raise Stopped

    recorders = [Recorder(store, spec.to_dict(), counts=spec.counts()) for spec in specs]
    files = [Checkpoints(store.run(recorder.id), every) for recorder in recorders]
    for recorder in recorders:
        recorder.__enter__()
    try:
        train_stack(specs, [corpus] * len(specs), recorders, checkpoints=files, progress=stop)
        error: BaseException | None = None
    except Stopped as stopped:
        error = stopped
    for recorder in recorders:
        recorder.__exit__(None if error is None else type(error), error, None)
    return [store.points_of(recorder.id) for recorder in recorders]


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_an_interrupted_stack_goes_on_bit_for_bit(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    specs = [
        make_spec(tokens=60 * 128, unique_tokens=20 * 128, seed=1),
        make_spec(measurements=["noise"], batch_tokens=128),
    ]
    for spec in specs:
        whole = attempt([spec], corpus, RunStore(tmp_path / f"whole{spec.seed}"), every=0)
        store = RunStore(tmp_path / f"broken{spec.seed}")
        attempt([spec], corpus, store, every=7, stop_at=18)
        again = attempt([spec], corpus, store, every=7, stop_at=33)
        assert again[0]["step"].max() < 34
        final = attempt([spec], corpus, store, every=7)
        assert_same(whole[0], final[0])
        [record] = store
        assert (record.status, record.attempt) == ("finished", 3)


def test_runs_of_one_stack_go_on_from_where_each_stood(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    specs = [make_spec(seed=seed) for seed in range(3)]
    whole = attempt(specs, corpus, RunStore(tmp_path / "whole"), every=0)
    store = RunStore(tmp_path / "broken")
    attempt(specs[:1], corpus, store, every=5, stop_at=23)
    attempt(specs[1:2], corpus, store, every=8, stop_at=12)
    final = attempt(specs, corpus, store, every=0)
    for one, other in zip(whole, final, strict=True):
        assert_same(one, other)


def test_a_cool_down_that_begins_at_its_trunk_is_the_run_from_the_start(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"learning_rate": 1e-2, "warmup_steps": 30, "unique_tokens": 40 * 128}
    trunk = make_spec(tokens=40 * 128, **common)
    branch = make_spec(tokens=30 * 128, **common)
    train_stack([trunk], [corpus], [None], checkpoints=[Checkpoints(LocalFolder(tmp_path), keep=[20])])
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.20.safetensors"]
    (tmp_path / "checkpoint.20.safetensors").rename(tmp_path / NAME)
    steps: list[int] = []
    [outcome] = train_stack(
        [branch],
        [corpus],
        [None],
        checkpoints=[Checkpoints(LocalFolder(tmp_path))],
        progress=lambda k, step: steps.append(step),
    )
    assert steps == list(range(21, 31))
    assert outcome.held_out == train(branch, corpus).held_out


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"data_seed": 1}, {"learning_rate": 2e-2}, {"weight_decay": 0.2}, {"tokens": 640}], ids=str
)
def test_a_checkpoint_of_another_beginning_is_refused(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, change: dict[str, Any]
) -> None:
    train_stack([make_spec()], [corpus], [None], checkpoints=[Checkpoints(LocalFolder(tmp_path), every=10)])
    other = make_spec(**{"unique_tokens": 40 * 128} | change)
    with pytest.raises(CheckpointError, match=r"whose first 30 steps are not those of this one\n.*seeds, data"):
        train_stack([other], [corpus], [None], checkpoints=[Checkpoints(LocalFolder(tmp_path))])


def test_a_damaged_checkpoint_is_named(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"checkpoint.safetensors is damaged: .*\n.*begins anew"):
        train_stack([make_spec()], [corpus], [None], checkpoints=[Checkpoints(LocalFolder(tmp_path))])


_LAUNCH = """
import json, sys
from isoflop.runs import RunStore
from isoflop.sweep.job import How
from isoflop.sweep.launcher import run_sweep
from isoflop.train.spec import TrainSpec
specs = [TrainSpec.from_dict(values) for values in json.load(sys.stdin)]
run_sweep(specs, RunStore(sys.argv[1]), workers=1, how=How(checkpoint_every=int(sys.argv[2])))
"""


@pytest.mark.slow
def test_a_sweep_killed_amid_a_run_gives_the_losses_of_one_that_was_not(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    spec = make_spec(tokens=1000 * 128, unique_tokens=300 * 128)
    points = []
    for name, kills in (("whole", 0), ("killed", 2)):
        store = RunStore(tmp_path / name)
        load_corpus(corpus.source, store.cache)
        folder = store.path / "runs" / run_id(spec.to_dict())
        for kill in range(kills + 1):
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(store.path), "50"], stdin=subprocess.PIPE, start_new_session=True
            )
            assert process.stdin is not None
            process.stdin.write(json.dumps([spec.to_dict()]).encode())
            process.stdin.close()
            if kill < kills:
                wait_for_another(folder / NAME, process)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        [record] = store
        assert record.status == "finished"
        assert record.attempt == kills + 1
        assert not (folder / NAME).exists()
        points.append(store.points_of(record.id))
    assert_same(*points)


def wait_for_another(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a new checkpoint is there."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    until = time.monotonic() + 60
    while not file.exists() or file.stat().st_mtime_ns == before:
        assert process.poll() is None, "it ended before a checkpoint was seen"
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.002)


_TRAIN = """
import json, sys
from isoflop.data import load_corpus
from isoflop.runs import Recorder, RunStore
from isoflop.train import Checkpoints, TrainSpec, train_stack
spec, store = TrainSpec.from_dict(json.loads(sys.argv[1])), RunStore(sys.argv[2])
with Recorder(store, spec.to_dict(), counts=spec.counts(), strict=True) as recorder:
    files = Checkpoints(store.run(recorder.id), every=20)
    train_stack([spec], [load_corpus(sys.argv[3])], [recorder], checkpoints=[files])
"""


def test_a_run_killed_on_one_machine_goes_on_bit_for_bit_on_another(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(tokens=2000 * 128, unique_tokens=300 * 128)
    whole = attempt([spec], corpus, RunStore(tmp_path / "whole"), every=0)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-a"))
    command = [sys.executable, "-c", _TRAIN, json.dumps(spec.to_dict()), f"{s3}/store", corpus.source]
    process = subprocess.Popen(command)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-b"))
    store = RunStore(f"{s3}/store")
    folder = store.run(run_id(spec.to_dict()))
    until = time.monotonic() + 60
    while NAME not in folder.names():
        assert process.poll() is None, "it ended before a checkpoint was seen"
        assert time.monotonic() < until, "waited in vain"
    process.kill()
    process.wait()
    assert (tmp_path / "machine-a").exists()
    [record] = store
    assert store.state(record) == "running"  # until its lease expires
    monkeypatch.setattr(object_lease, "EXPIRES_SECONDS", 0.0)
    assert store.state(record) == "interrupted"

    steps: list[int] = []
    with Recorder(store, spec.to_dict(), counts=spec.counts()) as recorder:
        files = Checkpoints(folder)
        train_stack([spec], [corpus], [recorder], checkpoints=[files], progress=lambda k, step: steps.append(step))
    files.clear()
    assert steps[0] > 20
    assert steps[0] % 20 == 1
    assert_same(whole[0], store.points_of(recorder.id))
    assert NAME not in folder.names()
    assert (recorder.record.status, recorder.record.attempt) == ("finished", 2)


@pytest.mark.parametrize("elsewhere", ["memory", "s3", "gs", "az"])
def test_a_longer_run_begins_from_what_another_machine_kept(
    make_spec: MakeSpec, corpus: Corpus, elsewhere: str, request: pytest.FixtureRequest
) -> None:
    root = "memory://kept" if elsewhere == "memory" else request.getfixturevalue(elsewhere)
    store, held = RunStore(f"{root}/store"), {"schedule": "constant", "unique_tokens": 20 * 128}
    short, long = make_spec(tokens=20 * 128, **held), make_spec(tokens=40 * 128, **held)
    with Recorder(store, short.to_dict(), counts=short.counts()) as recorder:
        files = Checkpoints(store.run(recorder.id), keep=(short.held_steps,))
        train_stack([short], [corpus], [recorder], checkpoints=[files])
    found = kept(store, long)
    assert found is not None
    assert (found.run, found.step, found.name) == (recorder.id, 20, "checkpoint.20.safetensors")
    steps: list[int] = []
    begun = Checkpoints(store.run(run_id(long.to_dict())), begin=found)
    [outcome] = train_stack([long], [corpus], [None], checkpoints=[begun], progress=lambda k, step: steps.append(step))
    assert steps == list(range(21, 41))
    assert outcome.held_out == train(long, corpus).held_out
    assert kept(store, make_spec(tokens=40 * 128, seed=1, **held)) is None


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"[[[[[[[["], ids=str
)
def test_a_damaged_checkpoint_that_was_kept_is_named(make_spec: MakeSpec, tmp_path: Path, content: bytes) -> None:
    store = RunStore(tmp_path / "store")
    (store.path / "runs" / "abc").mkdir()
    (store.path / "runs" / "abc" / "checkpoint.20.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"abc/checkpoint.20.safetensors is damaged: .*\n.*delete it"):
        kept(store, make_spec())
