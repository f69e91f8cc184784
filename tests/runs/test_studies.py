"""A store says what a study asked of which runs, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.errors import StoreError
from isoflop.runs import Recorder, RunStore, read_studies
from isoflop.runs.studies import GroupRuns, runs_by_purpose, runs_of_group, scaling_runs, write_study


def group(name: str, purpose: str, *runs: str) -> GroupRuns:
    return GroupRuns(name=name, purpose=purpose, runs=runs)


def test_the_last_word_of_each_study_is_read_back(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert read_studies(store) == {}
    write_study(store, "one", [group("grid", "scaling", "a")])
    write_study(store, "one", [group("grid", "scaling", "a", "b"), group("scan", "batch", "b", "c")])
    write_study(store, "two", [group("more", "batch", "d")])
    assert list(read_studies(store)) == ["one", "two"]
    assert {purpose: list(runs) for purpose, runs in runs_by_purpose(store).items()} == {
        "scaling": ["a", "b"],
        "batch": ["b", "c", "d"],
    }
    assert runs_of_group(store, "scan") == ("b", "c")
    with pytest.raises(StoreError, match=r"no group 'scam'\n.*did you mean 'scan'"):
        runs_of_group(store, "scam")


def test_laws_of_scale_get_all_runs_but_those_made_for_something_else_alone(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    ids = []
    for seed in range(4):
        with Recorder(store, {"seed": seed}, counts={"N": 1, "D": 1, "C": 6}) as recorder:
            recorder.finish(loss=2.0)
        ids.append(recorder.id)
    assert scaling_runs(store) is None, "no study: every run"
    grid, both, scan, by_hand = ids
    write_study(store, "s", [group("grid", "scaling", grid, both), group("scan", "batch", both, scan)])
    assert scaling_runs(store) == {grid, both, by_hand}
    assert store.fit_data(scaling_runs(store)).n_runs == 3


@pytest.mark.parametrize("name", ["", "../outside", "a/b", ".hidden", "a\0b"])
def test_a_study_is_kept_in_its_store_or_nowhere(tmp_path: Path, name: str) -> None:
    store = RunStore(tmp_path / "store")
    with pytest.raises(StoreError, match="cannot be kept in a store"):
        write_study(store, name, [])
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert read_studies(store) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"name": "s"', "is damaged"), (b'{"format": 2, "name": "s", "groups": []}', "has format 2; .* up to 1")],
)
def test_a_damaged_or_newer_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    store = RunStore(tmp_path)
    write_study(store, "s", [])
    (tmp_path / "studies" / "s.json").write_bytes(content)
    with pytest.raises(StoreError, match=f"s.json {message}"):
        read_studies(store)
