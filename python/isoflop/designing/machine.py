"""What runs cost where they are made: FLOPs, and the overhead of optimizer steps, which runs of one stack share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from isoflop.designing.inputs import Columns
from isoflop.errors import PlanError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What makes the runs.

    Attributes:
        slots: runs, or stacks, made at the same time: none may take longer than its share of the budget, so that no
            slot waits for the last.
        stack: models of one shape and batch trained in one launch at most.
        step_overhead: FLOPs that could be made in the time that a step takes besides its own.
        batch_tokens: tokens a step, where candidates have no batch.
    """

    slots: int = 1
    stack: int = 1
    step_overhead: float = 0.0
    batch_tokens: float | None = None

    def __post_init__(self) -> None:
        if self.slots < 1 or self.stack < 1:
            raise PlanError(f"slots = {self.slots}, stack = {self.stack}: both are one or more")
        if self.step_overhead and not self.batch_tokens:
            raise PlanError("step_overhead is of steps, whose tokens were not said", hint="Machine(batch_tokens=2**19)")


@dataclass(frozen=True)
class Costs:
    """Costs of sets of candidates in FLOPs.

    Attributes:
        compute: of each candidate, FLOPs.
        kind: candidates of one kind can be trained in one stack.
        steps: of each.
        machine: what makes them.
    """

    compute: Array
    kind: NDArray[np.int64]
    steps: Array
    machine: Machine

    @classmethod
    def of(cls, columns: Columns, machine: Machine) -> Costs:
        """Of the candidates of these columns."""
        batch = columns.get("B", np.full_like(columns["N"], machine.batch_tokens or 1.0))
        kind = np.unique(np.stack([columns["N"], batch]), axis=1, return_inverse=True)[1].ravel()
        return cls(columns["C"], kind, np.ceil(columns["D"] / batch), machine)

    def total(self, chosen: Sequence[int]) -> float:
        """Of all of them."""
        return float(self.compute[list(chosen)].sum()) + sum(
            self._overhead(self._steps_of(chosen, kind)) for kind in np.unique(self.kind[list(chosen)])
        )

    def more(self, chosen: Sequence[int]) -> Array:
        """What each candidate would add to the cost of ``chosen``, (candidates,)."""
        if not self.machine.step_overhead:
            return self.compute
        more = self.compute.copy()
        for kind in np.unique(self.kind):
            there = self._steps_of(chosen, int(kind))
            before = self._overhead(there)
            for k in np.flatnonzero(self.kind == kind):
                more[k] += self._overhead(tuple(sorted((*there, float(self.steps[k])), reverse=True))) - before
        return more

    def launches(self, chosen: Sequence[int]) -> int:
        """Stacks that they make."""
        counts = np.bincount(self.kind[list(chosen)])
        return int(np.ceil(counts / self.machine.stack).sum())

    def _steps_of(self, chosen: Sequence[int], kind: int) -> tuple[float, ...]:
        return tuple(sorted((float(self.steps[k]) for k in chosen if self.kind[k] == kind), reverse=True))

    def _overhead(self, steps: tuple[float, ...]) -> float:
        return self.machine.step_overhead * _launched(steps, self.machine.stack)


@lru_cache(maxsize=65536)
def _launched(steps: tuple[float, ...], stack: int) -> float:
    """Steps of runs of one kind, the longest first, stacked in that order: a stack takes as many as its longest."""
    return sum(steps[::stack])
