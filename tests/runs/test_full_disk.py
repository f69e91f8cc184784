"""A disk that fills up ends the run in words, spoils nothing, and the same call goes on once there is room."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from isoflop.data import load_corpus
from isoflop.errors import CorpusError, StoreError
from isoflop.runs import Recorder, RunStore, run_id


def fill(disk: Path, *, leave: int) -> Path:
    """A file that takes all of ``disk`` but ``leave`` bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leave)
    return filler


def train(store: RunStore, seed: int, n_points: int) -> None:
    with Recorder(store, {"seed": seed}, counts={"N": 1, "D": 1, "C": 6}, strict=True) as recorder:
        for step in range(n_points):
            recorder.log(step, loss=1.0 + step / 7, tokens=step * 64)
        recorder.finish(loss=1.0)


@pytest.mark.parametrize("leave", [0, 4096, 16384, 40960])
def test_a_full_disk_ends_the_run_in_words_and_spoils_nothing(small_disk: Path, leave: int) -> None:
    store = RunStore(small_disk / "store")
    for seed in range(3):
        train(store, seed, 100)
    finished = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    filler = fill(small_disk, leave=leave)

    with pytest.raises(StoreError, match=r"No space left on device\n.*the disk is full: free some space"):
        train(store, 3, 5000)
    assert {path: path.read_bytes() for path in finished} == finished
    for record in store:
        assert store.state(record) in ("finished", "failed", "interrupted")
        for points in (store.path / "runs" / record.id).glob("points*.jsonl"):
            assert points.read_bytes()[-1:] in (b"", b"\n"), "whole lines alone"
        store.points_of(record.id)
    assert store.fit_data().n_runs == 3
    assert list(store.path.rglob("*.tmp")) == []

    filler.unlink()
    train(store, 3, 5000)
    assert store.summary() == {"finished": 4}
    assert len(store.points_of(run_id({"seed": 3}))["step"]) == 5000


def test_a_store_that_does_not_fit_is_no_store_and_can_be_made_later(small_disk: Path) -> None:
    filler = fill(small_disk, leave=0)
    with pytest.raises(StoreError, match="No space left on device"):
        RunStore(small_disk / "store")
    filler.unlink()
    train(RunStore(small_disk / "store"), 0, 10)


def test_a_corpus_that_does_not_fit_leaves_no_half_cache(small_disk: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"some line of text\n" * 10_000)
    filler = fill(small_disk, leave=100_000)
    with pytest.raises(CorpusError, match=r"cannot cache corpus .*: (No space left on device|.*written)"):
        load_corpus(str(text), small_disk / "cache")
    assert list((small_disk / "cache").iterdir()) == []
    filler.unlink()
    assert load_corpus(str(text), small_disk / "cache").fingerprint == load_corpus(str(text)).fingerprint
