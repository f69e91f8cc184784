"""Flat points, batches and SQL say the same as the runs one by one, wherever the runs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from isoflop import Batches, fit
from isoflop.errors import StoreError
from isoflop.runs import Recorder, RunStore, part_writer
from isoflop.runs.compaction import compact
from runs.making import all_points, finish, one_of_each


def loose(store: RunStore) -> None:
    """As the runs were made."""


def halves(store: RunStore) -> None:
    """Some runs compacted, in several parts, the others not."""
    compact(store, part_bytes=9000)
    for seed in (30, 31):
        finish(store, seed, n_points=7)


@pytest.fixture(params=[loose, RunStore.compact, halves])
def mixed(request: pytest.FixtureRequest, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A store of runs in every state and of many lengths, in row groups of a few points."""
    monkeypatch.setattr(part_writer, "_POINTS_A_GROUP", 16)
    one_of_each(store)
    for seed in range(10, 20):
        finish(store, seed, n_points=seed - 8)
    place: Callable[[RunStore], object] = request.param
    place(store)
    return store


def test_flat_points_are_those_of_the_runs_in_their_order(mixed: RunStore) -> None:
    flat, single = mixed.points(), all_points(mixed)
    assert flat.runs["id"].to_pylist() == list(single) == mixed.ids()
    assert flat.offsets.dtype == np.int64
    assert len(flat) == len(single)
    for index, columns in enumerate(single.values()):
        found = flat[index]
        for name, values in found.items():
            there = columns.get(name, np.full(len(values), np.nan))
            np.testing.assert_array_equal(values, there, name)
    assert set(flat.columns) == {name for columns in single.values() for name in columns}


def test_flat_points_are_of_the_columns_and_runs_asked_for(mixed: RunStore) -> None:
    chosen = mixed.points(["loss", "step"], where="N >= 112 and d_model in [8, 16]")
    assert list(chosen.columns) == ["loss", "step"]
    wanted = [record.id for record in mixed if record.counts["N"] >= 112 and record.spec["shape"]["d_model"] in (8, 16)]
    assert chosen.runs["id"].to_pylist() == wanted
    assert len(wanted) >= 4
    for index, run in enumerate(wanted):
        np.testing.assert_array_equal(chosen[index]["step"], mixed.points_of(run)["step"])
    assert mixed.points(["step"], where={"seed": 10**6}).columns["step"].shape == (0,)


def test_batches_hold_every_whole_point_with_the_fields_of_its_run(mixed: RunStore) -> None:
    wanted = []
    for place, record in enumerate(mixed):
        points = mixed.points_of(record.id)
        held_out = points.get("val_loss", np.empty(0))
        wanted += [
            (place, record.counts["N"], step, loss)
            for step, loss in zip(points.get("step", ()), held_out, strict=False) if np.isfinite(loss)
        ]  # fmt: skip
    found = [
        row
        for batch in mixed.batches(["N", "step", "val_loss"])
        for row in zip(*(batch[name].tolist() for name in ("run", "N", "step", "val_loss")), strict=True)
    ]
    assert sorted(found) == sorted(wanted)
    assert len(wanted) > 10


def test_sql_sees_every_run_and_every_point(mixed: RunStore) -> None:
    pytest.importorskip("duckdb")
    single = all_points(mixed)
    counted = mixed.sql(
        'select id, state, "spec.seed" seed, count(step) n, sum(step) total'
        " from runs left join points on run = id group by all order by id"
    ).to_pylist()
    assert [row["id"] for row in counted] == list(single)
    assert {row["id"]: row["n"] for row in counted} == {run: len(c.get("step", ())) for run, c in single.items()}
    assert {row["id"]: row["total"] or 0 for row in counted} == {
        run: sum(c.get("step", ())) for run, c in single.items()
    }
    with pytest.raises(StoreError, match=r"spec.sed[^~]*the tables are runs and points"):
        mixed.sql('select "spec.sed" from runs')


def test_sql_sees_a_store_whose_runs_are_all_compacted(mixed: RunStore) -> None:
    pytest.importorskip("duckdb")
    asked = "select count(*) n from points"
    before = mixed.sql(asked)["n"].to_pylist()
    mixed.compact()
    assert mixed.sql(asked)["n"].to_pylist() == before


def test_no_run_is_one_of_none(mixed: RunStore) -> None:
    for where in ({"seed": []}, "seed in []"):
        assert mixed.table(where).num_rows == 0
    assert mixed.table("seed not in []").num_rows == mixed.table().num_rows


def test_sql_of_an_empty_store_is_refused(store: RunStore) -> None:
    pytest.importorskip("duckdb")
    with pytest.raises(StoreError, match="has no runs"):
        store.sql("select 1")


def test_a_store_without_runs_has_no_points(store: RunStore) -> None:
    assert len(store.points()) == 0
    assert list(store.batches([])) == []
    assert store.table().num_rows == 0


def test_a_fit_reads_the_curves_of_a_compacted_store(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    steps = np.geomspace(100, 1e5, 40).round()
    for n in np.geomspace(1e4, 1e8, 12):
        with Recorder(store, {"n": n}, counts={"N": n}) as recorder:
            for step in steps:
                recorder.log(step, loss=(8.8e13 / n) ** 0.076 + (2.1e3 / step) ** 0.76)
            recorder.finish(loss=2.0)
    store.compact()
    curves = Batches(lambda: store.batches(["N", "step", "loss"]), columns={"S_min": "step", "L": "loss"})
    found = fit("kaplan-steps", curves, weights="run").params
    assert found["alpha_N"] == pytest.approx(0.076, rel=1e-3)
    assert found["alpha_S"] == pytest.approx(0.76, rel=1e-3)


@pytest.mark.parametrize(
    ("where", "seeds"),
    [
        ("seed == 3", [3]),
        ("spec.seed in [1, 2] or N > 104", [1, 2, 5]),
        ("1 <= seed < 3", [1, 2]),
        ("not seed != 4", [4]),
        ("seed not in (0, 1, 2)", [3, 4, 5]),
        ("state == 'diverged'", [5]),
        ("loss is None", [5]),
        ("loss is not None and shape.d_model == 8", [0, 3]),
        ("seed > -1 and 3.5 > seed", [0, 1, 2, 3]),
        ({"seed": 3}, [3]),
        ({"seed": [1, 9], "state": "finished"}, [1]),
        ({"loss": None}, [5]),
        (pc.field("spec.seed") * 2 == 4, [2]),
        (None, [0, 1, 2, 3, 4, 5]),
    ],
)
@pytest.mark.parametrize("place", [loose, RunStore.compact])
def test_runs_are_picked_by_any_field(
    store: RunStore, place: Callable[[RunStore], object], where: object, seeds: list[int]
) -> None:
    for seed in range(6):
        finish(store, seed, loss=np.nan if seed == 5 else 2.0)
    place(store)
    assert sorted(store.table(where)["spec.seed"].to_pylist()) == seeds


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("sed == 3", r"no run has a field 'sed'\n.*did you mean 'seed'"),
        ({"sed": 3}, r"no run has a field 'sed'"),
        ("seed", r"'seed' is no condition\n.*such as"),
        ("seed = 3", r"cannot pick runs by 'seed = 3': invalid syntax"),
        ("seed == open('x')", r"cannot pick runs by .*: malformed node"),
        ("__import__('os').system('true')", r"is no condition"),
        ("state < 3", r"cannot pick runs by 'state < 3': "),
        (3, r"cannot pick runs by 3: "),
    ],
)
def test_what_picks_no_runs_is_refused(store: RunStore, where: object, message: str) -> None:
    finish(store, 0)
    with pytest.raises(StoreError, match=message):
        store.table(where)


def test_a_column_that_no_run_has_is_refused(store: RunStore) -> None:
    finish(store, 0)
    with pytest.raises(StoreError, match=r"no run has points with a column 'los'\n.*did you mean 'loss'"):
        store.points(["los"])
    with pytest.raises(StoreError, match=r"columns must be a list, got 'loss'\n.*points_of"):
        store.points("loss")
    with pytest.raises(StoreError, match=r"no run has a field 'los'\n.*did you mean 'loss'"):
        next(store.batches(["los"]))
