"""Everything that can be wrong in a store is named with its cure; mending loses no run that is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from isoflop.errors import NewerFormat, StoreError
from isoflop.runs import Recorder, RunStore, gc, run_id, verify
from isoflop.runs.lease import Lease
from isoflop.runs.rubbish import alone
from isoflop.runs.verification import ASIDE, COPY, CUT, REMOVE
from runs.making import COUNTS, all_points, assert_same_points, files, finish, one_of_each, seen


@pytest.fixture
def both(store: RunStore) -> RunStore:
    """Runs in every state, some compacted."""
    for seed in range(10, 14):
        finish(store, seed)
    store.compact()
    one_of_each(store)
    return store


def test_a_whole_store_has_no_problems_and_verifying_changes_no_byte(both: RunStore) -> None:
    before = files(both.path)
    assert verify(both) == []
    assert verify(both, mend=True) == []
    assert files(both.path) == before


def a_file(store: RunStore, kind: str) -> str:
    return next(name for name in store.compacted.folder.names() if name.startswith(kind))


def interrupted(store: RunStore) -> str:
    return run_id({"state": "interrupted"})


def torn(store: RunStore) -> str:
    points = store.path / "runs" / interrupted(store) / "points.jsonl"
    points.write_bytes(points.read_bytes() + b'{"step":2,"lo')
    return f"runs/{interrupted(store)}/points.jsonl"


def half_written(store: RunStore) -> str:
    (store.path / "runs" / interrupted(store) / ".run.json.99.tmp").write_bytes(b"{")
    return f"runs/{interrupted(store)}/.run.json.99.tmp"


def replaced(store: RunStore) -> str:
    (store.compacted.folder.path / "runs-7-abcd.parquet").write_bytes(b"PAR1")
    return "compacted/runs-7-abcd.parquet"


def never_begun(store: RunStore) -> str:
    (store.path / "runs" / ("0" * 16)).mkdir()
    (store.path / "runs" / ("0" * 16) / "lease").touch()
    return f"runs/{'0' * 16}/lease"


def half_merged(store: RunStore) -> str:
    shutil.copytree(store.path / "runs" / interrupted(store), store.path / ".merge.abc" / interrupted(store))
    return ".merge.abc"


def damaged_record(store: RunStore) -> str:
    (store.path / "runs" / interrupted(store) / "run.json").write_bytes(b'{"format": 1')
    return f"runs/{interrupted(store)}"


def damaged_points(store: RunStore) -> str:
    (store.path / "runs" / interrupted(store) / "points.jsonl").write_bytes(b'{"step":1}\n\0\0\n')
    return f"runs/{interrupted(store)}"


def nested_points(store: RunStore) -> str:
    (store.path / "runs" / interrupted(store) / "points.jsonl").write_bytes(b"[" * 10**6 + b"\n")
    return f"runs/{interrupted(store)}"


def without_record(store: RunStore) -> str:
    (store.path / "runs" / interrupted(store) / "run.json").unlink()
    return f"runs/{interrupted(store)}"


def another_spec(store: RunStore) -> str:
    file = store.path / "runs" / interrupted(store) / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"spec": {"seed": 10**6}}))
    return f"runs/{interrupted(store)}"


@pytest.mark.parametrize(
    ("damage", "cure"),
    [
        (torn, CUT),
        (half_written, REMOVE), (replaced, REMOVE), (never_begun, REMOVE), (half_merged, REMOVE),
        (damaged_record, ASIDE), (damaged_points, ASIDE), (nested_points, ASIDE), (without_record, ASIDE),
        (another_spec, ASIDE),
    ],
)  # fmt: skip
def test_what_a_kill_or_a_bad_disk_leaves_is_named_and_mended(
    both: RunStore, damage: Callable[[RunStore], str], cure: str
) -> None:
    others = [run for run in both.ids() if run != interrupted(both)]
    points = {run: both.points_of(run) for run in others}
    file = damage(both)
    before = files(both.path)
    [problem] = verify(both)
    assert (problem.file, problem.cure, problem.mended) == (file, cure, False)
    assert files(both.path) == before, "only --mend changes anything"
    [mended] = verify(both, mend=True)
    assert (mended.file, mended.mended) == (file, True)
    assert verify(both) == []
    assert_same_points({run: both.points_of(run) for run in others}, points)
    lost = {interrupted(both)} if cure == ASIDE else set()
    assert set(both.ids()) == {*others, interrupted(both)} - lost
    if cure == ASIDE:
        assert (both.path / "damaged" / interrupted(both)).is_dir()
    with Recorder(both, {"state": "interrupted"}, counts=COUNTS) as recorder:
        recorder.finish(loss=1.0)
    assert both.compact().damaged == ()


def truncated(store: RunStore) -> str:
    file = store.compacted.folder.path / a_file(store, "points")
    file.write_bytes(file.read_bytes()[:-9])
    return f"compacted/{file.name}"


def flipped(store: RunStore) -> str:
    file = store.compacted.folder.path / a_file(store, "runs")
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    return f"compacted/{file.name}"


def missing(store: RunStore) -> str:
    file = store.compacted.folder.path / a_file(store, "points")
    file.unlink()
    return f"compacted/{file.name}"


def no_manifest(store: RunStore) -> str:
    (store.compacted.folder.path / "manifest.json").unlink()
    return "compacted/manifest.json"


def half_a_manifest(store: RunStore) -> str:
    (store.compacted.folder.path / "manifest.json").write_text('{"format": 1, "parts": [')
    return "compacted/manifest.json"


@pytest.mark.parametrize("damage", [truncated, flipped, missing, no_manifest, half_a_manifest])
def test_damage_of_compacted_files_is_named_and_nothing_is_removed(
    both: RunStore, damage: Callable[[RunStore], str]
) -> None:
    file = damage(both)
    before = files(both.path)
    for mend in (False, True):
        [problem] = verify(RunStore(both.path), mend=mend)
        assert (problem.file, problem.cure, problem.mended) == (file, COPY, False)
    if damage in (no_manifest, half_a_manifest):
        for call in (RunStore.compact, gc, list):
            with pytest.raises(StoreError, match=r"manifest.json is (missing|damaged)"):
                call(RunStore(both.path))
    assert files(both.path) == before


def test_a_run_being_written_is_no_problem(both: RunStore) -> None:
    with Recorder(both, {"seed": "now"}) as recorder:
        recorder.log(1, loss=1.0)
        recorder.flush()
        with (both.path / "runs" / recorder.id / "points.jsonl").open("ab") as file:
            file.write(b'{"step":2')
            file.flush()
            assert verify(both, mend=True) == []
        recorder.finish(loss=1.0)


def test_what_is_newer_is_not_mended(both: RunStore) -> None:
    file = both.path / "runs" / interrupted(both) / "run.json"
    file.write_text('{"format": 2}')
    with pytest.raises(NewerFormat, match="upgrade isoflop"):
        verify(both, mend=True)
    assert file.read_text() == '{"format": 2}'


def test_mending_waits_for_no_compaction(both: RunStore) -> None:
    with alone(both), pytest.raises(StoreError, match="is being compacted by another process"):
        verify(both, mend=True)
    with alone(both):
        assert verify(both) == []


def test_a_run_that_somebody_took_up_is_not_mended(both: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    torn(both)
    take = Lease.take
    monkeypatch.setattr(Lease, "take", lambda file: take(file) if file.parent == both.path else None)
    [problem] = verify(both, mend=True)
    assert not problem.mended


def test_gc_frees_what_nothing_needs_and_the_cache_where_asked(both: RunStore) -> None:
    before = seen(both)
    both.compact()  # replaces the part that was there
    points = all_points(both)
    assert gc(both) > 1000
    assert gc(both) == 0
    both.cache.mkdir()
    (both.cache / "tokens.bin").write_bytes(b"0" * 100)
    assert gc(both, cache=True) == 100
    assert not both.cache.exists()
    assert seen(both) == before
    assert_same_points(all_points(both), points)
