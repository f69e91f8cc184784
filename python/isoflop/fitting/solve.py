"""The minimisation: many starts polished to the end, and what they agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.descent import Descent, condition_of
from isoflop.fitting.passes import sums_in_memory
from isoflop.fitting.problem import MANY_RUNS, Problem
from isoflop.fitting.starts import ROWS, starting_points
from isoflop.fitting.threads import cores, in_threads

Array = NDArray[np.float64]

AGREE = 1e-6
"""Starts whose objectives differ by less than this, relatively, found the same optimum."""

_ITERATIONS = 400
_FEW, _MANY = 6, 10
_SOME_RUNS = 4096
_LIKELY = 3.84
_APART = 0.5
_CHUNK = 32
_FAILED = 1e300
_NEAR = 2.0


@dataclass(frozen=True)
class Certificate:
    """How sure the optimum is.

    Attributes:
        starts: starts polished to the end.
        hit_rate: share of them that reached the best objective to one part in a million.
        spread: largest objective a converged start ended at over the best one, less one; 0 where all agree.
        condition: condition number of J'J at the optimum, columns scaled to one length and inputs centred.
        gradient: largest cosine between the residuals and a column of the Jacobian, 0 at an exact optimum; of sums of
            absolute residuals the largest excess of a multiplier, 0 at a vertex that is a minimum.
        at_bounds: parameters that ended at a bound of their domain, or of the fit.
        converged: the solver's own verdict; a fit that is not converged is never returned.
        rivals: lowest and highest value of parameters that starts put far apart at objectives that n runs do not tell
            apart (a factor 1 + 3.84/n: the likelihood ratio's 95 %).
        points, passes: points of a store, and how often all of them were read; 0 where the runs were in memory.
    """

    starts: int
    hit_rate: float
    spread: float
    condition: float
    gradient: float
    at_bounds: tuple[str, ...]
    converged: bool
    rivals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    points: int = 0
    passes: int = 0


@dataclass(frozen=True)
class Polished:
    """Every start under every row of weights: vectors (R, S, q), the rest (R, S); status 0 is converged."""

    vectors: Array
    values: Array
    cosines: Array
    status: NDArray[np.int64]


def polish(
    problem: Problem, starts: Array, weights: Array, y: Array | None = None, iterations: int = _ITERATIONS
) -> Polished:
    """Minimise from every start (S, q) under every row of weights (R, n), and of observations (R, n) where given."""
    from isoflop.fitting.solver.compile import VERTEX, pointer
    from isoflop.fitting.solver.descend import DESCEND, descend
    from isoflop.fitting.solver.polish import no_vertex, polish_all
    from isoflop.fitting.solver.sums import DERIVATIVES, OBJECTIVE, derivatives, objective

    to_vertex = no_vertex
    if problem.criterion.delta == 0.0:
        from isoflop.fitting.solver.vertex import to_vertex

    units = (
        pointer(objective, OBJECTIVE), pointer(derivatives, DERIVATIVES), pointer(descend, DESCEND),
        pointer(to_vertex, VERTEX), *problem.kernels.pointers,
    )  # fmt: skip

    p, c = problem, problem.coordinates
    shape = (len(weights), len(starts))
    observed = np.ascontiguousarray(p.y[None] if y is None else y)
    found = Polished(np.empty((*shape, starts.shape[1])), np.empty(shape), np.empty(shape), np.empty(shape, np.int64))

    def run(part: tuple[slice, slice]) -> None:
        rows, columns = part
        taken = starts[columns]
        out = Polished(*(np.ascontiguousarray(a[part]) for a in vars(found).values()))
        polish_all(
            *units, np.ascontiguousarray(taken), c.origin, c.spread, c.lower, c.upper, p.z, p.x,
            observed if len(observed) == 1 else observed[rows], p.s, np.ascontiguousarray(weights[rows]),
            *p.rho, iterations, *vars(out).values(),
        )  # fmt: skip
        for whole, piece in zip(vars(found).values(), vars(out).values(), strict=True):
            whole[part] = piece

    chunk = _CHUNK if len(weights) > 1 else -(-len(starts) // (2 * cores()))
    everything = slice(None)
    if len(weights) > 1:
        parts = [(slice(i, i + chunk), everything) for i in range(0, len(weights), chunk)]
    else:
        parts = [(everything, slice(i, i + chunk)) for i in range(0, len(starts), chunk)]
    if len(parts) == 1:
        run(parts[0])
    else:
        list(in_threads(run, parts))
    return found


def minimise(problem: Problem, n_starts: int, few: int | None = None) -> tuple[Array, float, Certificate]:
    """The best vector over the starts, its objective and its certificate.

    Starts are chosen on half of ``few`` runs and polished on them first, the best on all; or all of them on all.

    Raises:
        FitError: the best start did not converge.
        NotIdentifiable: the output does not depend on an input, so a scale runs to zero.
    """
    starts = starting_points(problem, n_starts, few // 2 if few else ROWS)
    polished = _polish_all_starts(problem, starts, few)
    _go_on(problem, polished)
    vectors, cosines, status = polished.vectors[0], polished.cosines[0], polished.status[0]
    values = np.where(np.isfinite(polished.values[0]), polished.values[0], np.inf)
    noise = problem.rounding
    same = values <= values.min() * (1 + AGREE) + noise
    converged = status == 0
    best = int(np.argmin(np.where(same & converged, values, np.inf)))
    vector, value = vectors[best], float(values[best])
    if np.isfinite(values.min()):
        _require_all_scales(problem, vectors[int(np.argmin(values))])
    if not (same & converged & np.isfinite(values)).any():
        raise FitError(
            f"{problem.law.name}: the best of {len(starts)} starts did not converge"
            f" (cosine {cosines[values.argmin()]:.1e})",
            hint="plot the runs: the law may not be of their form; or give more starts",
        )
    settled = values[converged]
    stuck = [name for m in problem.at_bounds(vector) for name in problem.names_of(int(m))]
    certificate = Certificate(
        starts=len(starts),
        hit_rate=float((same & converged).mean()),
        spread=0.0 if value <= noise else float(settled.max() / value - 1.0),
        condition=condition(problem, vector),
        gradient=float(cosines[best]) if value > noise else 0.0,
        at_bounds=tuple(stuck),
        converged=True,
        rivals=_rivals(
            problem, vector, vectors[converged & (values <= value * (1 + _LIKELY / problem.n_used) + noise)]
        ),
    )
    return vector, value, certificate


def _polish_all_starts(problem: Problem, starts: Array, few_runs: int | None) -> Polished:
    """On all runs; where they are many on some of them, and then the best few different ends on all."""
    if problem.n_used <= (few_runs or MANY_RUNS):
        return polish(problem, starts, problem.w[None])
    used = np.flatnonzero(problem.w > 0)
    few = problem.at(np.sort(np.random.default_rng(0).choice(used, few_runs or _SOME_RUNS, replace=False)))
    ends = polish(few, starts, few.w[None])
    values = np.where((ends.status[0] == 0) & np.isfinite(ends.values[0]), ends.values[0], _FAILED)
    ranked = np.argsort(values, kind="stable")
    groups = np.cumsum(np.diff(values[ranked], prepend=values[ranked[0]]) > AGREE * np.abs(values[ranked]))
    firsts = ranked[np.unique(groups, return_index=True)[1]]
    near = firsts[values[firsts] <= _NEAR * values[ranked[0]] + few.rounding][:_FEW]
    on_all = (_descend if problem.many else polish)(problem, ends.vectors[0, near], problem.w[None])
    # an end far worse on some thousand runs is not the best of all: its objective stays in proportion
    ends.values[0] *= problem.w.sum() / few.w.sum()
    for start, group in zip(ranked, groups, strict=True):
        if group < near.size:
            for whole, piece in zip(vars(ends).values(), vars(on_all).values(), strict=True):
                whole[0, start] = piece[0, group]
    return ends


def _descend(problem: Problem, starts: Array, weights: Array) -> Polished:
    """From every start (S, q), by passes over all runs on all cores."""
    from isoflop.fitting.solver.descend import CONVERGED, STALLED

    shape = (1, len(starts))
    found = Polished(starts[None].copy(), np.full(shape, np.inf), np.full(shape, np.inf), np.full(shape, STALLED))
    for k, start in enumerate(starts):
        descent = Descent(problem, lambda v, newton: sums_in_memory(problem, v, problem.criterion.delta, newton=newton))
        try:
            vector, total, cosine = descent.run(start)
        except FitError:
            continue
        found.vectors[0, k], found.values[0, k], found.cosines[0, k] = vector, total.objective, cosine
        found.status[0, k] = CONVERGED
    return found


def _go_on(problem: Problem, polished: Polished) -> None:
    """Where the best start ran out of iterations, the best few go on: a valley can be long, the other starts short."""
    ranked = np.argsort(polished.values[0], kind="stable")
    best = ranked[:_FEW][polished.status[0, ranked[:_FEW]] != 0]
    if polished.status[0, ranked[0]] != 0:
        further = polish(problem, polished.vectors[0, best], problem.w[None], iterations=_MANY * _ITERATIONS)
        for whole, piece in zip(vars(polished).values(), vars(further).values(), strict=True):
            whole[0, best] = piece[0]


def _rivals(problem: Problem, best: Array, others: Array) -> dict[str, tuple[float, float]]:
    """Parameters that differ by more than half of what they are."""
    found, ends = problem.natural(best), problem.natural(others)
    low, high = ends.min(axis=0), ends.max(axis=0)
    apart = high - low > _APART * np.abs(found)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(problem.law.names) if apart[i]}


def condition(problem: Problem, vector: Array) -> float:
    """Condition number of J'J over the entries inside their bounds, columns scaled to one length."""
    if problem.many:
        return condition_of(problem, vector, sums_in_memory(problem, vector, np.inf, newton=False))
    _, jacobian = problem.residuals(vector)
    columns = (np.sqrt(problem.w)[:, None] * jacobian)[:, problem.moving(vector)]
    length = np.linalg.norm(columns, axis=0)
    if not columns.size or not length.all():
        return float("inf") if columns.size else 1.0
    singular = np.linalg.svd(columns / length, compute_uv=False)
    return float((singular[0] / max(singular[-1], 1e-300)) ** 2)


def _require_all_scales(problem: Problem, vector: Array) -> None:
    for name, absent in zip(problem.law.names, problem.absent(vector[None])[0], strict=True):
        if absent:
            raise NotIdentifiable(
                f"{problem.law.name}: {name} runs out of bounds, the {problem.law.output} of these runs does not follow"
                f" the term that it scales",
                hint="add runs that differ more in its input, or fit a law without it",
            )
