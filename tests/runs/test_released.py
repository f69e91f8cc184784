"""A store of every format that was ever released can be read, compacted and gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isoflop.runs import Recorder, RunStore, verify
from runs.making import COUNTS, all_points, assert_same_points, files, released

ASSETS = Path(__file__).parent / "assets"


@pytest.mark.parametrize("name", ["format_1"])
def test_a_released_store_reads_as_what_was_recorded(name: str, store: RunStore, tmp_path: Path) -> None:
    released(store)
    before = files(ASSETS / name)
    asset = RunStore(ASSETS / name, create=False)
    assert verify(asset) == []
    assert files(ASSETS / name) == before
    assert_same_points(all_points(asset), all_points(store))
    for found, made in zip(asset, store, strict=True):
        assert (found.id, asset.state(found), found.spec) == (made.id, store.state(made), made.spec)
        assert (found.counts, found.result, found.error, found.attempt) == (
            (made.counts, made.result, made.error, made.attempt)
        )
    copy = RunStore(shutil.copytree(asset.path, tmp_path / "copy"))
    with Recorder(copy, {"state": "interrupted"}, counts=COUNTS) as recorder:
        recorder.finish(loss=1.0)
    copy.compact()
    assert copy.ids() == asset.ids()
    assert verify(copy) == []
