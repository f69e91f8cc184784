"""Validation over many fits: a rollout over growing scale, and every run predicted by the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError
from isoflop.fitting.holdout import fit_again, predicted_rows, reach, scale_of

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_MOST_LEVELS = 8
_SAME = 1e-6


@dataclass(frozen=True)
class Step:
    """A fit to all runs up to one scale, and how it predicts those beyond.

    Attributes:
        up_to: largest value of the column that was fitted.
        n_fitted: runs that were fitted.
        n_next: runs at the next level.
        decades: from ``up_to`` to the largest value of the next level, in powers of ten.
        error: mean absolute relative error on the next level.
        decades_to_largest, error_on_largest: the same for the last level of all.
    """

    up_to: float
    n_fitted: int
    n_next: int
    decades: float
    error: float
    decades_to_largest: float
    error_on_largest: float


@dataclass(frozen=True)
class Rollout:
    """What one would have predicted at each scale, had one stopped there.

    Attributes:
        by: the column that grows.
        steps: from the smallest scale that determines the law.
        skipped: scales from which the law could not be fitted, and why.
    """

    by: str
    steps: tuple[Step, ...]
    skipped: tuple[str, ...]

    @property
    def mean_absolute_relative_error(self) -> float:
        """Mean over the steps of the error on the next level."""
        return float(np.mean([step.error for step in self.steps]))

    def table(self) -> list[tuple[str, ...]]:
        """Headings, then one row a step, as text."""
        heads = (f"{self.by} up to", "runs", "next", "decades", "error", "largest: decades", "error")
        rows: list[tuple[str, ...]] = [heads]
        for s in self.steps:
            near = (f"{s.decades:.2f}", f"{s.error:.2%}")
            far = (f"{s.decades_to_largest:.2f}", f"{s.error_on_largest:.2%}")
            rows.append((f"{s.up_to:.3g}", str(s.n_fitted), str(s.n_next), *near, *far))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"by": self.by, "steps": [vars(step) for step in self.steps], "skipped": list(self.skipped)}

    def __str__(self) -> str:
        from isoflop.fitting.present import text_table

        return "\n".join([text_table(self.table()), *(f"not fitted: {why}" for why in self.skipped)])

    def _repr_html_(self) -> str:
        from isoflop.fitting.present import html_table

        return html_table(self.table(), below=[f"not fitted: {why}" for why in self.skipped])


def rollout(full: Fit, by: str) -> Rollout:
    """Fit the runs up to each scale in turn and predict the next.

    Each value of ``by`` is a level; of more than eight values, eight levels of one length in the logarithm are made.
    Where the fit was given clusters, each is fitted whole, from the level of its largest point on.

    Raises:
        FitError: ``by`` is no column, or no scale below the largest determines the law.
    """
    scale = scale_of(full, by)
    levels = _levels(scale)
    whole = reach(full.data, levels.astype(np.float64))
    last = full.data.select(levels == levels.max())
    steps, skipped = [], []
    for level, following in zip(np.unique(levels)[:-1], np.unique(levels)[1:], strict=True):
        seen, held = whole <= level, levels == following
        if not seen.any():
            skipped.append(f"{by} up to {scale[levels <= level].max():.3g}: no cluster of runs ends there")
            continue
        up_to = float(scale[seen].max())
        try:
            fitted = fit_again(full, full.data.select(seen))
        except FitError as error:
            skipped.append(f"{by} up to {up_to:.3g}: {error.message}")
            continue
        error_near, error_far = (_mean_error(predicted_rows(fitted, data)) for data in (full.data.select(held), last))
        near, far = (float(np.log10(scale[rows].max() / up_to)) for rows in (held, levels == levels.max()))
        steps.append(Step(up_to, int(seen.sum()), int(held.sum()), near, error_near, far, error_far))
    if not steps:
        raise FitError(
            f"no scale of {by} below the largest determines {full.law.name}",
            hint=skipped[0] if skipped else f"the runs have one value of {by}",
        )
    return Rollout(by, tuple(steps), tuple(skipped))


def _mean_error(rows: dict[str, Array]) -> float:
    return float(np.mean(np.abs(rows["relative_error"])))


def _levels(scale: Array) -> NDArray[np.int64]:
    """Level of each run, the smallest first."""
    logs = np.log(scale)
    order = np.argsort(logs, kind="stable")
    apart = np.concatenate([[0], np.cumsum(np.diff(logs[order]) > _SAME)])
    levels = np.empty(scale.size, dtype=np.int64)
    levels[order] = apart
    if apart[-1] < _MOST_LEVELS:
        return levels
    edges = np.linspace(logs.min(), logs.max(), _MOST_LEVELS + 1)[1:-1]
    return np.searchsorted(edges, logs, side="left").astype(np.int64)


@dataclass(frozen=True)
class LeaveOneOut:
    """Every run, predicted by a fit to the others.

    Attributes:
        runs: label of each run.
        relative_error: predicted/output - 1, one a row of the data.
        params: parameters of each refit, shape (runs, p).
        names: of the parameters.
        failed: runs without which the law could not be fitted; their rows have no error (NaN).
    """

    runs: tuple[str, ...]
    relative_error: Array
    params: Array
    names: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def mean_absolute_relative_error(self) -> float:
        """Mean over the rows of |predicted/output - 1|."""
        return float(np.nanmean(np.abs(self.relative_error)))

    def most_moved(self, name: str) -> str:
        """The run without which a parameter changes most, against the median of the refits.

        Raises:
            FitError: no such parameter.
        """
        if name not in self.names:
            raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(self.names)}")
        column = self.params[:, self.names.index(name)]
        return self.runs[int(np.nanargmax(np.abs(column - np.nanmedian(column))))]

    def __str__(self) -> str:
        worst = int(np.nanargmax(np.abs(self.relative_error)))
        lost = f"; without {', '.join(self.failed)} the law cannot be fitted" if self.failed else ""
        return (
            f"{len(self.runs)} runs, each predicted by the others: mean absolute relative error "
            f"{self.mean_absolute_relative_error:.2%}, largest {self.relative_error[worst]:+.2%} in row {worst}{lost}"
        )


def leave_one_out(full: Fit, run: Sequence[object] | ArrayLike | None = None) -> LeaveOneOut:
    """Refit without each run in turn and predict it.

    Args:
        full: the fit.
        run: label of the run that each row belongs to, where one run has several rows, as the points of one curve
            have; the clusters of the fit where it was given any, each row a run otherwise.

    Raises:
        FitError: another number of labels than rows, one run alone, or no refit that worked.
    """
    from isoflop.fitting.problem import Problem
    from isoflop.fitting.solve import polish
    from isoflop.fitting.starts import starting_points

    n = full.data.n_runs
    own_runs = np.arange(n) if full.data.cluster is None else full.data.cluster
    given = own_runs if run is None else np.asarray(run)
    if given.shape != (n,):
        raise FitError(f"run has shape {given.shape}; one label a row is needed, {n} in all")
    labels, member = np.unique(given, return_inverse=True)
    if labels.size < 2:
        raise FitError("all rows are of one run: nothing remains to fit without it", hint="run= labels each row")
    problem = Problem.of(full.law, full.data, full.criterion, full.constraints)
    own = problem.free(np.array([full.params[name] for name in full.law.names]))
    starts = np.vstack([own, starting_points(problem, 2)])
    polished = polish(problem, starts, problem.w * (member != np.arange(labels.size)[:, None]))
    values = np.where((polished.status == 0) & np.isfinite(polished.values), polished.values, np.inf)
    vectors = polished.vectors[np.arange(labels.size), values.argmin(axis=1)]
    good = np.isfinite(values.min(axis=1)) & ~problem.absent(vectors).any(axis=1)
    if not good.any():
        raise FitError("without any one run the law cannot be fitted", hint="add runs")
    params = np.where(good[:, None], problem.natural(vectors), np.nan)
    relative = np.full(n, np.nan)
    for k in np.flatnonzero(good):
        rows = member == k
        inputs = {name: full.data.columns[name][rows] for name in full.law.inputs}
        predicted = full.law.predict(dict(zip(full.law.names, params[k].tolist(), strict=True)), **inputs)
        relative[rows] = predicted / full.data.columns[full.law.output][rows] - 1.0
    failed = tuple(str(label) for label in labels[~good])
    return LeaveOneOut(tuple(str(label) for label in labels), relative, params, full.law.names, failed)
