"""What groups of runs made for one purpose show: the critical batch size, L(N, S_min), shapes, isoFLOP minima."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting import CriticalBatch, IsoflopMinima, StepsFit, critical_batch, fit_steps, isoflop_minima
from isoflop.fitting.shape_scan import ShapeScan, shape_scan
from isoflop.runs import RunStore, batch_scan, curves
from isoflop.runs.studies import runs_by_purpose

Array = NDArray[np.float64]
Result = CriticalBatch | StepsFit | ShapeScan | IsoflopMinima

_LEVELS = 8
"""Losses at which a batch scan is read."""
_MARGINS = 0.3, 0.1
"""Shares, in logarithms, of the losses that all batch sizes pass which are left out: the first, when the learning rates
of large batches still rise, and the last."""
_WARMUP_SHARE = 0.1
"""Of the longest curve: where L(N, S_min) begins, the learning rate having risen well before."""


@dataclass(frozen=True)
class Finding:
    """What the runs of one purpose show.

    Attributes:
        purpose: of :data:`isoflop.runs.studies.PURPOSES`.
        equation: what was fitted.
        n_runs: of how many runs.
        values: each with its interval.
        result: what the estimator gave.
        columns: what it was given, by name, (rows,).
    """

    purpose: str
    equation: str
    n_runs: int
    values: Mapping[str, tuple[float, float, float]]
    result: Result
    columns: Mapping[str, Array]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "purpose": self.purpose,
            "equation": self.equation,
            "n_runs": self.n_runs,
            "values": {
                name: {"value": value, "interval": [low, high]} for name, (value, low, high) in self.values.items()
            },
        }


def find(store: RunStore, *, level: float = 0.95) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """What each group of the store's studies shows, and by purpose why another shows nothing yet."""
    found: dict[str, Finding] = {}
    skipped: dict[str, str] = {}
    asked = runs_by_purpose(store)
    for purpose, procedure in _PROCEDURES.items():
        if purpose not in asked:
            continue
        try:
            found[purpose] = procedure(store, asked[purpose], level, found)
        except FitError as error:
            skipped[purpose] = error.message
    return tuple(found.values()), skipped


def _batch(store: RunStore, runs: Collection[str], level: float, found: Mapping[str, Finding]) -> Finding:
    columns, labels = batch_scan(store, runs=runs)
    critical = critical_batch(columns, labels, _levels_passed_by_all(columns["L"], labels))
    low, high = critical.interval(level)
    b_low, b_high = (float(end[0]) for end in critical.law.line_interval([1.0], level)) if critical.law else (0.0, 0.0)
    values = {"B_star": (critical.B_star, b_low, b_high), "alpha_B": (critical.alpha_B, low, high)}
    return Finding("batch", "B_crit = B_star/L**(1/alpha_B)", np.unique(labels).size, values, critical, columns)


def _levels_passed_by_all(loss: Array, labels: NDArray[np.str_]) -> Array:
    """Losses between the first and the best of every run, evenly in logarithms, a margin inside."""
    runs = [loss[labels == one] for one in np.unique(labels)]
    high, low = np.log(min(run[0] for run in runs)), np.log(max(run.min() for run in runs))
    if low >= high:
        raise FitError("no loss is passed by all batch sizes", hint="longer runs, or evaluate earlier and more often")
    share = np.linspace(_MARGINS[0], 1 - _MARGINS[1], _LEVELS)
    return np.asarray(np.exp(high + (low - high) * share))


def _steps(store: RunStore, runs: Collection[str], level: float, found: Mapping[str, Finding]) -> Finding:
    batch = found.get("batch")
    if batch is None or not isinstance(batch.result, CriticalBatch):
        raise FitError("L(N, S_min) needs B_crit(L)", hint='a group of purpose "batch"')
    columns, labels = curves(store, runs=runs)
    fitted = fit_steps(columns, batch.result, warmup=_WARMUP_SHARE * float(columns["S"].max()))
    values = {name: (value, *fitted.fit.interval(name, level)) for name, value in fitted.params.items()}
    equation = "L = (N_c/N)**alpha_N + (S_c/S_min)**alpha_S"
    return Finding("steps", equation, np.unique(labels).size, values, fitted, fitted.fit.data.columns)


def _shape(store: RunStore, runs: Collection[str], level: float, found: Mapping[str, Finding]) -> Finding:
    from scipy.special import stdtrit

    ended = [run for run in store if run.id in runs and run.status == "finished" and run.result is not None]
    taken = [run for run in ended if {"n_layer", "d_model"} <= (run.spec.get("shape") or {}).keys()]
    rows = [
        (run.counts["N"], run.spec["shape"]["d_model"] / run.spec["shape"]["n_layer"], (run.result or {})["loss"])
        for run in taken
    ]
    if not rows:
        raise FitError("no finished runs of a known shape", hint="isoflop runs ls shows the state of each run")
    columns = dict(zip(("N", "aspect", "L"), np.array(rows, float).T, strict=True))
    scan = shape_scan(*columns.values())
    worst = scan.worst
    free = max(1, len(rows) - len(scan.shapes))
    half = float(stdtrit(free, 0.5 + level / 2)) * worst.sigma
    values = {"largest penalty": (worst.penalty, worst.penalty - half, worst.penalty + half)}
    ratios = [shape.aspect for shape in scan.shapes]
    equation = f"L over the best of the same N, less 1; d_model/n_layer from {min(ratios):.3g} to {max(ratios):.3g}"
    return Finding("shape", equation, len(rows), values, scan, columns)


def _isoflop(store: RunStore, runs: Collection[str], level: float, found: Mapping[str, Finding]) -> Finding:
    data = store.fit_data(runs)
    minima = isoflop_minima(data, exclude_open=True, level=level)
    values = {
        "a": (minima.n_params.exponent, *minima.n_params.interval(level)),
        "b": (minima.n_tokens.exponent, *minima.n_tokens.interval(level)),
    }
    equation = "N* ~ C**a, D* ~ C**b, minima of parabolas in ln N"
    return Finding("isoflop", equation, data.n_runs, values, minima, data.columns)


_PROCEDURES: Mapping[str, Callable[[RunStore, Collection[str], float, Mapping[str, Finding]], Finding]] = {
    "batch": _batch,
    "steps": _steps,
    "shape": _shape,
    "isoflop": _isoflop,
}
"""By purpose, in the order in which one needs another."""
