"""The points of runs as the columns that laws of training curves and of the batch size are fitted to."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.runs.record import RunRecord
from isoflop.runs.store import RunStore

Array = NDArray[np.float64]
_RATES = ("learning_rate", "final_learning_rate")
Curves = tuple[Mapping[str, Array], NDArray[np.str_]]


def curves(
    store: RunStore, *, runs: Collection[str] | None = None, loss: str = "val_loss", **settings: object
) -> Curves:
    """Columns N, D (tokens so far), S (steps), B (tokens a step) and L (nats/token), and the run of each row.

    N is left out where a run was recorded without it.

    Args:
        store: its finished runs are taken.
        runs: ids of those to take; None for all.
        loss: which column of the points.
        settings: fields of the spec that the runs taken must have: ``shape={...}``, ``seed=0``.

    Raises:
        FitError: no such run, or one without that column.
    """
    columns: dict[str, list[Array]] = {name: [] for name in "NDSBL"}
    labels: list[str] = []
    for record in _taken(store, runs, settings):
        points = store.points_of(record.id)
        if loss not in points:
            raise FitError(f"run {record.id} has no column {loss!r}", hint=f"it has {', '.join(points)}")
        there = np.isfinite(points[loss])
        steps, batch = points["step"][there], float(record.spec["batch_tokens"])
        columns["S"].append(steps)
        columns["L"].append(points[loss][there])
        columns["D"].append(steps * batch)
        columns["B"].append(np.full(len(steps), batch))
        if "N" in record.counts:
            columns["N"].append(np.full(len(steps), record.counts["N"]))
        labels += [record.id] * len(steps)
    if not labels:
        raise FitError("no finished run is among those asked for", hint="isoflop runs ls shows the state of each run")
    whole = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    return {name: values for name, values in whole.items() if len(values) == len(labels)}, np.array(labels)


def batch_scan(
    store: RunStore, *, runs: Collection[str] | None = None, loss: str = "val_loss", **settings: object
) -> Curves:
    """The :func:`curves` of runs of one shape, whose batch sizes tell the critical one.

    They are what :func:`isoflop.fitting.critical_batch` takes: ``critical_batch(*batch_scan(store), levels)``. A study
    makes such runs with ``batch_scan = [0.25, 0.5, 1, 2, 4]`` and many ``evaluations``. Of runs that differ in their
    learning rate alone the one that ended best is taken: each batch size has the rate that suits it.

    Raises:
        FitError: no such run, several shapes among them, or none with that column.
    """
    taken = sorted(_taken(store, runs, settings), key=_last_loss)
    shapes = {str(record.spec["shape"]) for record in taken}
    if len(shapes) != 1:
        raise FitError(
            f"{len(taken)} finished runs of {len(shapes)} shapes; a batch scan is of one",
            hint="shape = {...} picks one",
        )
    best: dict[str, str] = {}
    for record in taken:
        alike = {name: value for name, value in record.spec.items() if name not in _RATES}
        best.setdefault(json.dumps(alike, sort_keys=True), record.id)
    return curves(store, runs=set(best.values()), loss=loss)


def _last_loss(record: RunRecord) -> float:
    return (record.result or {}).get("loss", math.inf)


def _taken(store: RunStore, runs: Collection[str] | None, settings: Mapping[str, object]) -> Iterator[RunRecord]:
    for record in store:
        asked = runs is None or record.id in runs
        if asked and record.status == "finished" and all(record.spec.get(name) == v for name, v in settings.items()):
            yield record
