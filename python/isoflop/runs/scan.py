"""The points of runs at several batch sizes as the columns that a critical batch size is fitted to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.runs.store import RunStore

Array = NDArray[np.float64]


def batch_scan(
    store: RunStore, *, loss: str = "val_loss", **settings: object
) -> tuple[Mapping[str, Array], NDArray[np.str_]]:
    """Columns S (steps), B (tokens a step) and L (nats/token), and the run of each row.

    They are what :func:`isoflop.fitting.critical_batch` takes: ``critical_batch(*batch_scan(store), levels)``. A study
    makes such runs with ``batch_scan = [0.25, 0.5, 1, 2, 4]`` and many ``evaluations``.

    Args:
        store: its finished runs are taken, of one shape.
        loss: which column of the points.
        settings: fields of the spec that the runs taken must have: ``shape={...}``, ``seed=0``.

    Raises:
        FitError: no such run, several shapes among them, or none with that column.
    """
    taken = [
        record for record in store
        if record.status == "finished" and all(record.spec.get(name) == value for name, value in settings.items())
    ]  # fmt: skip
    shapes = {str(record.spec["shape"]) for record in taken}
    if len(shapes) != 1:
        raise FitError(
            f"{len(taken)} finished runs of {len(shapes)} shapes; a batch scan is of one",
            hint="shape = {...} picks one",
        )
    columns: dict[str, list[Array]] = {"S": [], "B": [], "L": []}
    runs: list[str] = []
    for record in taken:
        points = store.points_of(record.id)
        if loss not in points:
            raise FitError(f"run {record.id} has no column {loss!r}", hint=f"it has {', '.join(points)}")
        there = np.isfinite(points[loss])
        columns["S"].append(points["step"][there])
        columns["L"].append(points[loss][there])
        columns["B"].append(np.full(int(there.sum()), float(record.spec["batch_tokens"])))
        runs += [record.id] * int(there.sum())
    return {name: np.concatenate(parts) for name, parts in columns.items()}, np.array(runs)
