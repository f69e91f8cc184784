"""A run as figures read it: what it is of, how it ended, and its curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import LacksData
from isoflop.runs import RunStore
from isoflop.runs.record import RunRecord

Array = NDArray[np.float64]

ONE_SIZE = 1.15
"""Models whose N differs by less than this factor from the next one's are of one size."""


class _Points(dict[str, Array]):
    """Columns of a run; one that it was recorded without is what a figure lacks."""

    def __init__(self, run: str, columns: Mapping[str, Array]) -> None:
        super().__init__(columns)
        self._run = run

    def __missing__(self, column: str) -> Array:
        raise LacksData(
            f"run {self._run} was recorded without {column} along its training", hint="record or import its points"
        )


@dataclass(frozen=True)
class Run:
    """A finished run. N is of the parameters that its store counts, D and B are tokens, the loss is nats per token."""

    store: RunStore
    record: RunRecord

    @cached_property
    def points(self) -> Mapping[str, Array]:
        """Its points as columns, read when they are first asked for."""
        return _Points(self.id, self.store.points_of(self.id))

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.record.spec

    @property
    def shape(self) -> Mapping[str, Any]:
        """Fields of its shape; none where it was recorded without."""
        return self.record.spec.get("shape") or {}

    @property
    def architecture(self) -> str:
        return str(self.shape.get("architecture", "decoder"))

    @property
    def n(self) -> float:
        return self.record.counts["N"]

    @property
    def d(self) -> float:
        """Tokens seen where the loss was measured."""
        return float(self.result.get("tokens", self.record.counts["D"]))

    @property
    def unique(self) -> float:
        """Different tokens among them."""
        return min(self.record.counts.get("U", self.d), self.d)

    @property
    def result(self) -> Mapping[str, float]:
        assert self.record.result is not None
        return self.record.result

    @property
    def loss(self) -> float:
        return self.result["loss"]

    @property
    def batch(self) -> float:
        """B in tokens: as the spec says, else as the last point does."""
        if "batch_tokens" in self.spec:
            return float(self.spec["batch_tokens"])
        return float(self.points["tokens"][-1] / self.points["step"][-1])

    def curve(self, column: str = "val_loss") -> tuple[Array, Array, Array]:
        """Step, tokens and a loss wherever that was measured; empty where it never was."""
        if column not in self.points:
            return np.empty(0), np.empty(0), np.empty(0)
        there = np.isfinite(self.points[column])
        step = self.points["step"][there]
        return step, step * self.batch, self.points[column][there]


def read_runs(store: RunStore) -> tuple[Run, ...]:
    """The finished runs of a store that were recorded with N, D and a held-out loss, by N and then D."""
    runs = (
        Run(store, record)
        for record in store
        if record.status == "finished" and record.result is not None and {"N", "D"} <= record.counts.keys()
    )
    return tuple(sorted(runs, key=lambda run: (run.n, run.d)))


def by_size(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs of each size, smallest first."""
    groups: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: run.n):
        if groups and run.n < groups[-1][-1].n * ONE_SIZE:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def longest(runs: Iterable[Run]) -> list[Run]:
    """Of each N exactly, the run that saw the most tokens."""
    best: dict[float, Run] = {}
    for run in runs:
        if run.n not in best or run.d > best[run.n].d:
            best[run.n] = run
    return [best[n] for n in sorted(best)]
