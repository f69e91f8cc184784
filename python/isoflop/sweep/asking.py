"""What a group of a study asks for, run by run: a shape with its tokens, and with each batch, rate and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from isoflop.errors import SpecError, nearest
from isoflop.shape import Shape
from isoflop.sweep.settings import TrainSettings
from isoflop.train.spec import flops_per_token

AXES = ("shapes", "tokens", "batch_scan", "learning_rate_scan", "seeds")
"""What a grid runs over, the last the fastest; ``tokens`` are those of budgets too."""


@dataclass(frozen=True)
class Goal:
    """How long a run is: D tokens, or so many that 6 N D is a budget in FLOPs."""

    amount: float
    compute: bool = False

    def tokens(self, shape: Shape) -> float:
        """D, before it is rounded to whole steps."""
        return self.amount / flops_per_token(shape) if self.compute else self.amount


@dataclass(frozen=True)
class Asked:
    """One run as it is asked for: ``batch`` and ``rate`` are multiples of those that ``train`` gives it."""

    shape: Shape
    tokens: float
    train: TrainSettings
    batch: float = 1.0
    rate: float = 1.0
    seed: int = 0


def grid(
    shapes: Sequence[Shape], goals: Sequence[Goal], train: TrainSettings, zipped: Sequence[str] = ()
) -> list[Asked]:
    """Every shape with every goal, batch, rate and seed; the axes that are ``zipped`` go in step instead.

    Raises:
        SpecError: an axis of no such name, or zipped axes of different lengths.
    """
    values: dict[str, Sequence[Any]] = {
        "shapes": shapes,
        "tokens": goals,
        **{name: getattr(train, name) for name in AXES[2:]},
    }
    for name in zipped:
        if name not in AXES:
            raise SpecError(f"zip names {name!r}, which is no axis", hint=nearest(name, AXES))
    if len({len(values[name]) for name in zipped}) > 1:
        lengths = ", ".join(f"{len(values[name])} {name}" for name in dict.fromkeys(zipped))
        raise SpecError(f"zip takes its axes in step: {lengths}", hint="give them as many values each, each shape once")
    return [
        Asked(*_of(point, train))
        for point in _walk({name: values[name] for name in AXES}, tuple(dict.fromkeys(zipped)))
    ]


def with_scans(shape: Shape, tokens: float, train: TrainSettings) -> list[Asked]:
    """One shape and D with every batch, rate and seed of ``train``."""
    return grid([shape], [Goal(tokens)], train)


def _walk(values: Mapping[str, Sequence[Any]], zipped: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    """Points of the grid by axis; zipped axes stand where the first of them does."""
    apart = [[{name: value} for value in values[name]] for name in values if name not in zipped]
    if zipped:
        together = [dict(zip(zipped, each, strict=True)) for each in zip(*map(values.__getitem__, zipped), strict=True)]
        first = min(AXES.index(name) for name in zipped)
        apart.insert(sum(name not in zipped for name in AXES[:first]), together)
    for parts in product(*apart):
        yield {name: value for part in parts for name, value in part.items()}


def _of(point: Mapping[str, Any], train: TrainSettings) -> tuple[Shape, float, TrainSettings, float, float, int]:
    shape: Shape = point["shapes"]
    return (
        shape,
        point["tokens"].tokens(shape),
        train,
        point["batch_scan"],
        point["learning_rate_scan"],
        point["seeds"],
    )
