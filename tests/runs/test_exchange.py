"""Runs go from store to store whole and once; what an archive holds is written nowhere but into the store."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import NewerFormat, StoreError
from isoflop.runs import Recorder, RunStore, compaction, export, import_archive, merge, read_studies, run_id, verify
from isoflop.runs.local_run import LocalRun
from isoflop.runs.studies import GroupRuns, write_study
from runs.making import COUNTS, all_points, assert_same_points, files, finish, one_of_each, seen


@pytest.fixture
def other(tmp_path: Path) -> RunStore:
    """Runs in every state, some compacted."""
    made = RunStore(tmp_path / "other")
    for seed in range(10, 14):
        finish(made, seed)
    made.compact()
    one_of_each(made)
    return made


def test_a_merged_store_has_every_run_of_both_once(store: RunStore, other: RunStore) -> None:
    ours = [finish(store, seed) for seed in (12, 13, 20, 21)]  # two of them are there too
    store.compact()
    points, mine = all_points(other), all_points(store)
    before = files(other.path)
    done = merge(store, other)
    assert (done.runs, done.known, done.problems) == (8, 2, [])
    assert files(other.path) == before
    assert store.ids() == sorted({*ours, *other.ids()})
    assert_same_points(all_points(store), dict(sorted({**mine, **points}.items())))
    assert verify(store) == []
    again = merge(store, other)
    assert (again.runs, again.points, again.known, again.problems) == (0, 0, 10, [])


def test_runs_to_merge_are_picked_by_any_field(store: RunStore, other: RunStore) -> None:
    merge(store, other, "seed in [1, 11, 12] or state == 'failed'")
    assert sorted(record.spec.get("seed", 0) for record in store) == [0, 1, 11, 12]


def test_an_ended_run_takes_the_place_of_one_that_failed(store: RunStore, other: RunStore) -> None:
    with pytest.raises(ValueError, match="broken"), Recorder(store, {"seed": 10, "shape": {"d_model": 16}}):
        raise ValueError("broken")
    run = run_id({"seed": 10, "shape": {"d_model": 16}})
    merge(store, other, "seed == 10")
    assert store.summary() == {"finished": 1}
    assert not (store.path / "runs" / run).exists()


def test_two_results_of_one_run_are_named_and_ours_stays(store: RunStore, other: RunStore) -> None:
    run = finish(store, 11, loss=2.5)
    [problem] = merge(store, other).problems
    assert problem.startswith(f"run {run}: it is finished {{'loss': 2.5, ")
    assert "which stays, and finished {'loss': 2.0" in problem
    record = store.get(run)
    assert record is not None
    assert record.result == {"loss": 2.5, "tokens": 900}


def test_runs_being_written_do_not_come(store: RunStore, other: RunStore) -> None:
    with Recorder(other, {"seed": "there"}) as there, Recorder(store, {"seed": 11, "shape": {"d_model": 24}}) as here:
        problems = merge(store, other).problems
        there.finish(loss=1.0)
        here.finish(loss=1.0)
    assert sorted(problems) == sorted(
        [f"run {there.id}: it is being written there", f"run {here.id}: it is being written here"]
    )


def test_a_store_is_not_merged_with_itself(store: RunStore) -> None:
    with pytest.raises(StoreError, match="cannot be merged with itself"):
        merge(store, RunStore(store.path))


def test_an_interrupted_merge_is_gone_through_again(
    store: RunStore, other: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    (store.path / "runs" / other.ids()[0]).mkdir()  # of a run that never began
    for owner, name in ((compaction, "publish"), (compaction, "write_part"), (LocalRun, "clear")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, stop)
            with pytest.raises(KeyboardInterrupt):
                merge(store, other)
        assert [problem.cure for problem in verify(store, mend=True)] in ([], ["remove it"], ["remove it"] * 2)
    merge(store, other)
    assert store.ids() == other.ids()
    assert verify(store, mend=True) == []


@pytest.mark.parametrize("name", ["runs.zip", "folder"])
def test_an_export_holds_the_ended_runs_and_names_the_others(
    store: RunStore, other: RunStore, tmp_path: Path, name: str
) -> None:
    done = export(other, tmp_path / name)
    assert (done.runs, len(done.problems)) == (8, 2)
    assert all(problem.endswith("only ended runs are exported") for problem in done.problems)
    came = import_archive(store, tmp_path / name) if name.endswith(".zip") else merge(store, RunStore(tmp_path / name))
    assert (came.runs, came.points) == (done.runs, done.points)
    ended = [run for run in other.ids() if other.has_ended(run)]
    assert store.ids() == ended
    assert [store.get(run) for run in ended] == [other.get(run) for run in ended]
    assert_same_points(all_points(store), {run: other.points_of(run) for run in ended})
    assert verify(store) == []
    with pytest.raises(StoreError, match=rf"{name} is there already"):
        export(other, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_studies_asked_for_comes_with_the_runs(store: RunStore, other: RunStore, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_study(other, name, [GroupRuns(name="grid", purpose="scaling", runs=tuple(other.ids()))])
    write_study(store, "two", [GroupRuns(name="scan", purpose="batch", runs=("a",))])
    export(other, tmp_path / "runs.zip")
    [problem] = import_archive(store, tmp_path / "runs.zip").problems
    assert problem == "study two: it asks for other runs here, which stays"
    assert {name: study.groups[0].name for name, study in read_studies(store).items()} == {"one": "grid", "two": "scan"}


def rewritten(archive: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> Path:
    """A copy of an archive with other entries."""
    made = archive.with_name("changed.zip")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(made, "w") as target:
        for entry in source.infolist():
            for name, content in change(entry.filename, source.read(entry)):
                target.writestr(name, content)
    return made


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil",
        "compacted/../../evil",
        "runs/x/run.json",
        "compacted/evil.py",
        "studies/.x.json",
        "studies/a/b.json",
    ],
)
def test_an_archive_cannot_write_elsewhere(store: RunStore, other: RunStore, tmp_path: Path, name: str) -> None:
    export(other, tmp_path / "runs.zip")
    bad = rewritten(tmp_path / "runs.zip", lambda entry, content: [(name if "runs-" in entry else entry, content)])
    before = files(tmp_path)
    with pytest.raises(StoreError, match=r"is no export of a run store: it holds "):
        import_archive(store, bad)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is no export"), (b"PK\x05\x06" + bytes(18), "it holds no store.json"), (b"text", "is no export")],
)
def test_what_is_no_archive_is_refused(store: RunStore, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "runs.zip").write_bytes(content)
    with pytest.raises(StoreError, match=message):
        import_archive(store, tmp_path / "runs.zip")


def test_a_changed_archive_is_refused(store: RunStore, other: RunStore, tmp_path: Path) -> None:
    export(other, tmp_path / "runs.zip")

    def flip(name: str, content: bytes) -> list[tuple[str, bytes]]:
        return [(name, content[:99] + bytes([content[99] ^ 1]) + content[100:] if "points" in name else content)]

    with pytest.raises(StoreError, match=r"is damaged: its SHA-256 is not that of what was written"):
        import_archive(store, rewritten(tmp_path / "runs.zip", flip))
    assert store.ids() == []


def test_an_archive_of_a_newer_version_is_refused(store: RunStore, other: RunStore, tmp_path: Path) -> None:
    export(other, tmp_path / "runs.zip")

    def newer(name: str, content: bytes) -> list[tuple[str, bytes]]:
        return [(name, json.dumps(json.loads(content) | {"format": 2}).encode() if name == "store.json" else content)]

    with pytest.raises(NewerFormat):
        import_archive(store, rewritten(tmp_path / "runs.zip", newer))


def test_a_run_under_an_id_that_is_not_of_its_spec_does_not_come(store: RunStore, tmp_path: Path) -> None:
    bad = RunStore(tmp_path / "bad")
    run = finish(bad, 0)
    record = json.loads((bad.path / "runs" / run / "run.json").read_text())
    (bad.path / "runs" / run).rename(bad.path / "runs" / ("0" * 16))
    (bad.path / "runs" / ("0" * 16) / "run.json").write_text(json.dumps(record | {"id": "0" * 16}))
    [problem] = merge(store, bad).problems
    assert problem == f"run {'0' * 16}: its id is not that of its spec"
    assert store.ids() == []


def test_symbolic_links_in_a_store_are_not_followed_out_of_it(store: RunStore, tmp_path: Path) -> None:
    bad = RunStore(tmp_path / "bad")
    with pytest.raises(KeyboardInterrupt), Recorder(bad, {"seed": 0}, counts=COUNTS) as recorder:
        raise KeyboardInterrupt
    (tmp_path / "secret").write_text("secret")
    (bad.path / "runs" / recorder.id / "points.1.jsonl").symlink_to(tmp_path / "secret")
    [problem] = merge(store, bad).problems
    assert "points.1.jsonl is a symbolic link" in problem
    assert b"secret" not in b"".join(files(store.path).values())


def test_an_archive_keeps_every_kind_of_value(store: RunStore, tmp_path: Path) -> None:
    other = RunStore(tmp_path / "other")
    values: list[Any] = [1, 2.5, "ü", True, None, [1, "a"], {"deep": {"deeper": [None]}}]
    for value in values:
        with Recorder(other, {"value": value}, counts=COUNTS, environment={"torch": "2"}) as recorder:
            recorder.finish(loss=1.0)
    export(other, tmp_path / "runs.zip")
    import_archive(store, tmp_path / "runs.zip")
    assert seen(store)["records"] == seen(other)["records"]


def test_an_id_that_is_a_path_never_leaves_the_store(store: RunStore, other: RunStore, tmp_path: Path) -> None:
    [part] = other.compacted.parts()
    run = next(part.runs())
    for number, evil in enumerate(("../../evil", "/tmp/evil")):
        record = json.dumps(json.loads(run.record) | {"id": evil}).encode()
        bad = RunStore(tmp_path / f"bad{number}")
        compaction.add(bad, [replace(run, id=evil, record=record)])
        before = files(tmp_path)
        [problem] = merge(store, bad).problems
        assert problem == f"run {evil}: its id is not that of its spec"
        assert files(tmp_path) == before
