"""The choice of runs, by the expected logarithm of the targets' variance: greedy, exchanged, parts of it chosen anew.

With precision P of the parameters, slope g of a run's ln loss and c of a target, the target's variance is c' P^-1 c and
a run of noise s adds g g'/s^2 to P. Which runs are best depends on the parameters, which is why the logarithm of the
variance is averaged over draws of them (Chaloner and Verdinelli 1995, section 3; c-optimality averaged over a prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.designing.machine import Costs

Array = NDArray[np.float64]

_TRADES = (0.15, 0.25, 0.35, 0.5)
"""How much a greedy choice minds the FLOPs of a run, the rest being for the place that it takes among the runs."""
_TURNS, _TAKEN, _WHIM = 48, (0.2, 0.4, 0.7), 1.5
"""How often some of the runs are chosen anew, the share of them, and how far tastes differ, in ln."""
_BETTER = 1e-6
_PASSES = 6
_TINY = 1e-300


@dataclass(frozen=True)
class Problem:
    """What is to be chosen.

    Attributes:
        slopes: d ln L / d v over the noise, of every candidate at every draw, (draws, candidates, q).
        targets: d target / d v, (targets, draws, q).
        start: precision before, (draws, q, q).
        costs: of candidates.
        budget: FLOPs.
        runs: how many at most.
        replicates: how often one candidate at most.
    """

    slopes: Array
    targets: Array
    start: Array
    costs: Costs
    budget: float
    runs: int
    replicates: int

    def precision(self, chosen: list[int]) -> Array:
        """With the runs ``chosen``, (draws, q, q)."""
        rows = self.slopes[:, chosen]
        return np.asarray(self.start + np.swapaxes(rows, 1, 2) @ rows)

    def variances(self, chosen: list[int]) -> Array:
        """Of every target at every draw, (targets, draws)."""
        inverse = _inverse(self.precision(chosen))
        found = np.einsum("kjp,jpq,kjq->kj", self.targets, inverse, self.targets)
        return np.asarray(np.maximum(found, _TINY))

    def merit(self, chosen: list[int]) -> float:
        """Expected ln variance of the targets, summed: what is made small."""
        return float(np.log(self.variances(chosen)).mean(axis=1).sum())


def choose(problem: Problem) -> list[int]:
    """Rows of the candidates that are chosen, as often as each is, the most telling first."""
    found = [_exchanged(problem, _greedy(problem, trade, [])) for trade in _TRADES]
    best = min(found, key=problem.merit)
    return _ordered(problem, _exchanged(problem, _rebuilt(problem, best)))


def _greedy(problem: Problem, trade: float, kept: list[int], taste: Array | float = 1.0) -> list[int]:
    """To those kept add the run that tells most for its share of the budget and of the places, while there is room.

    ``taste`` (candidates,) favours some of them.
    """
    chosen = list(kept)
    while len(chosen) < problem.runs:
        merits, more = _with_each(problem, chosen)
        allowed = _allowed(problem, chosen, more)
        if not allowed.any():
            break
        gain = problem.merit(chosen) - merits
        share = trade * more / problem.budget + (1 - trade) / problem.runs
        chosen.append(int(np.argmax(np.where(allowed, taste * gain / share, -np.inf))))
    return chosen


def _rebuilt(problem: Problem, chosen: list[int]) -> list[int]:
    """Take some of the runs out and fill up again by another taste, over and over, where that is better."""
    rng = np.random.default_rng(0)
    merit = problem.merit(chosen)
    for turn in range(_TURNS):
        kept = [
            k for k, share in zip(chosen, rng.random(len(chosen)), strict=True) if share > _TAKEN[turn % len(_TAKEN)]
        ]
        taste = np.exp(_WHIM * rng.standard_normal(problem.costs.compute.size))
        filled = _greedy(problem, _TRADES[turn % len(_TRADES)], kept, taste)
        merit_then = problem.merit(filled)
        if merit_then < merit - _BETTER:
            chosen, merit = filled, merit_then
    return chosen


def _exchanged(problem: Problem, chosen: list[int]) -> list[int]:
    """Replace one run at a time by a better one, and fill what is left of the budget, until nothing is better."""
    merit = problem.merit(chosen)
    for _ in range(_PASSES):
        before = merit
        for old in list(chosen):
            rest = list(chosen)
            rest.remove(old)
            taken, merit_then = _best_addition(problem, rest)
            if taken is not None and merit_then < merit - _BETTER:
                chosen, merit = [*rest, taken], merit_then
        while len(chosen) < problem.runs:
            taken, merit_then = _best_addition(problem, chosen)
            if taken is None or merit_then >= merit - _BETTER:
                break
            chosen, merit = [*chosen, taken], merit_then
        if merit > before - _BETTER * len(chosen):
            break
    return chosen


def _best_addition(problem: Problem, chosen: list[int]) -> tuple[int | None, float]:
    merits, more = _with_each(problem, chosen)
    allowed = _allowed(problem, chosen, more)
    if not allowed.any():
        return None, np.inf
    best = int(np.argmin(np.where(allowed, merits, np.inf)))
    return best, float(merits[best])


def _with_each(problem: Problem, chosen: list[int]) -> tuple[Array, Array]:
    """The merit with each candidate added, and what it would cost more, (candidates,) both."""
    inverse = _inverse(problem.precision(chosen))
    toward = np.einsum("jpq,kjq->kjp", inverse, problem.targets)
    variance = np.einsum("kjp,kjp->kj", problem.targets, toward)
    spread = np.einsum("jmp,jmp->jm", problem.slopes @ inverse, problem.slopes)
    along = np.einsum("jmp,kjp->kjm", problem.slopes, toward)
    left = variance[:, :, None] - along**2 / (1.0 + spread)
    return np.log(np.maximum(left, _TINY)).mean(axis=1).sum(axis=0), problem.costs.more(chosen)


def _allowed(problem: Problem, chosen: list[int], more: Array) -> NDArray[np.bool_]:
    times = np.bincount(np.array(chosen, dtype=np.int64), minlength=more.size)
    room = problem.budget * (1 + 1e-9) - problem.costs.total(chosen)
    return np.asarray((more <= room) & (times < problem.replicates))


def _ordered(problem: Problem, chosen: list[int]) -> list[int]:
    """The run first whose loss would leave the targets the least known."""
    without = []
    for k, _ in enumerate(chosen):
        without.append(problem.merit(chosen[:k] + chosen[k + 1 :]))
    return [chosen[k] for k in np.argsort(without, kind="stable")[::-1]]


def _inverse(precision: Array) -> Array:
    """By scaled coordinates: those of a law differ by orders of magnitude."""
    scale = 1.0 / np.sqrt(np.einsum("jpp->jp", precision))
    return np.asarray(
        np.linalg.inv(precision * scale[:, :, None] * scale[:, None, :]) * scale[:, :, None] * scale[:, None, :]
    )
