"""Runs of every kind for tests of the store, and everything that a reader sees of a store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.runs import Recorder, RunStore, mark, run_id
from isoflop.runs.points import Columns

COUNTS = {"N": 100.0, "D": 1000.0, "C": 6e5}


def finish(store: RunStore, seed: int, n_points: int = 3, loss: float = 2.0, **spec: Any) -> str:
    """A finished run, or a diverged one where the loss is not finite; now and then it has a held-out loss."""
    chance = np.random.default_rng(seed)
    spec = {"seed": seed, "shape": {"d_model": 8 * (seed % 3 + 1)}, **spec}
    with Recorder(store, spec, counts=COUNTS | {"N": 100.0 + seed}) as recorder:
        for step in range(1, n_points + 1):
            held_out = {"val_loss": loss + chance.random()} if step % 3 == 0 else {}
            recorder.log(step, tokens=step * 64, loss=loss + chance.random(), lr=chance.random(), **held_out)
        recorder.finish(loss=loss, tokens=900)
    return recorder.id


def one_of_each(store: RunStore) -> dict[str, str]:
    """A run in every state, and one that failed before it finished; their ids."""
    ids = {"finished": finish(store, 1), "diverged": finish(store, 2, loss=math.nan), "empty": finish(store, 3, 0)}
    for state, error in (("failed", ValueError("broken")), ("interrupted", KeyboardInterrupt())):
        try:
            with Recorder(store, {"state": state}, counts=COUNTS) as recorder:
                recorder.log(1, loss=2.0, grad_norm=0.25)
                raise error
        except (ValueError, KeyboardInterrupt):
            ids[state] = recorder.id
    for steps, end in ((2, OSError("gone")), (5, None)):
        try:
            with Recorder(store, {"state": "again"}, counts=COUNTS) as recorder:
                for step in range(steps):
                    recorder.log(step, loss=2.0 + step, gap=0.1)
                if end is not None:
                    raise end
                recorder.finish(loss=2.0)
        except OSError:
            ids["again"] = recorder.id
    return ids


def released(store: RunStore) -> None:
    """The runs of ``assets/format_1``, which was made by this and never will be again."""
    for seed in range(10, 16):
        finish(store, seed, n_points=30)
    finish(store, 16, loss=math.nan)
    store.compact()
    one_of_each(store)
    mark(store, run_id({"seed": 10, "shape": {"d_model": 16}}), "superseded", "for the asset")


def seen(store: RunStore) -> dict[str, Any]:
    """Everything that a reader sees, but for the points."""
    rows = sorted(store.table().to_pylist(), key=lambda row: row["id"])
    given = [{name: value for name, value in row.items() if value is not None} for row in rows]
    data = store.fit_data()
    return {
        "records": list(store),
        "states": {record.id: store.state(record) for record in store},
        "summary": store.summary(),
        "rows": given,
        "fit": {name: values.tolist() for name, values in data.columns.items()},
        "excluded": data.excluded,
        "ids": store.ids(),
        "ended": [run for run in store.ids() if store.has_ended(run)],
    }


def all_points(store: RunStore) -> dict[str, Columns]:
    return {run: store.points_of(run) for run in store.ids()}


def assert_same_points(found: dict[str, Columns], wanted: dict[str, Columns]) -> None:
    """The same runs, columns and numbers, losses as float32, everything else to the last bit."""
    assert list(found) == list(wanted)
    for run, columns in wanted.items():
        assert list(found[run]) == list(columns), run
        for name, values in columns.items():
            kind = np.float32 if "loss" in name else np.float64
            np.testing.assert_array_equal(found[run][name].astype(kind), values.astype(kind), f"{name} of run {run}")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
