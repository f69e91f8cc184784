"""Every level against float64, and its time on a GPU beside the least by arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from isoflop.benchmark.case import Work
from isoflop.benchmark.ceilings import DTYPES, Ceilings
from isoflop.benchmark.correctness import TIMES
from isoflop.benchmark.timing import Clock, Time
from isoflop.kernels import reference
from isoflop.kernels.configurations import chip_of, configuration
from levels.arithmetic import launches
from levels.ladder import LEVELS, Level
from levels.task import DEEP, EPS, Weights, draw


@dataclass(frozen=True)
class Cell:
    """One level at one size.

    Attributes:
        launches: of one call of all models.
        flops, least_bytes, asked_bytes, floor: by arithmetic; ``floor`` in seconds, launches one after the other;
            ``asked_bytes`` is None where torch's library decides.
        error, torch_error, allowed: the largest absolute difference from float64, plain torch's, and what is allowed.
        time: on a GPU, else None.
    """

    level: int
    name: str
    models: int
    rows: int
    width: int
    dtype: str
    launches: int
    flops: int
    least_bytes: int
    asked_bytes: int | None
    floor: float
    error: float
    torch_error: float
    allowed: float
    time: Time | None

    @property
    def passed(self) -> bool:
        """Whether the error is allowed; that of a result that is not finite is not."""
        return self.error <= self.allowed


def measure(
    models: int, rows: int, width: int, dtype: torch.dtype, device: str, ceilings: Ceilings, clock: Clock | None,
    seconds: float,
) -> Iterator[Cell]:  # fmt: skip
    """All levels at one size, timed in turns over about ``seconds`` in all where there is a ``clock``."""
    x, weights = draw(models, rows, width, dtype, device)
    exact = by_definition(x.double(), Weights(*(each.double() for each in weights)))
    torch_error = apart(by_definition(x, weights), exact)
    allowed = TIMES * torch_error + torch.finfo(dtype).eps * float(exact.abs().max())
    calls = {str(number): call(level, x, weights) for number, level in LEVELS.items()}
    errors = {number: apart(level(x, weights), exact) for number, level in LEVELS.items()}
    times = clock.time(calls, seconds) if clock else {}
    for number, level in LEVELS.items():
        least = arithmetic(number, models, rows, width, dtype, x.device)
        floor = sum(ceilings.seconds(work, DTYPES[dtype], matrix=True) for work, _ in least)
        asked = [each for _, each in least if each is not None]
        yield Cell(
            number, level.name, models, rows, width, DTYPES[dtype], len(least),
            *(int(sum(getattr(work, what) for work, _ in least)) for what in ("flops", "bytes")),
            sum(asked) if len(asked) == len(least) else None,
            floor, errors[number], torch_error, allowed, times.get(str(number)),
        )  # fmt: skip


def arithmetic(
    level: int, models: int, rows: int, width: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[Work, int | None]]:
    """The work of every launch, and the bytes that its programs ask for."""
    tile, size = configuration("mlp", width=width, dtype=dtype, chip=chip_of(device)), dtype.itemsize
    made = launches(level, models, rows, width, DEEP * width, tile)
    return [(Work(each.flops, size * each.least), None if each.asked is None else size * each.asked) for each in made]


def by_definition(x: Tensor, weights: Weights) -> Tensor:
    """The package's own definition, of K models."""
    w = weights
    define = reference.on_models(partial(reference.mlp, kind="gelu", norm="layer", eps=EPS, residual=True))
    made: Tensor = define(x, w.w_in, w.b_in, w.w_out, w.b_out, w.gain, w.bias)
    return made


def apart(made: Tensor, exact: Tensor) -> float:
    """The largest absolute difference; nan where an element is not finite."""
    return float((made.double() - exact).abs().max())


def call(level: Level, x: Tensor, weights: Weights) -> Callable[[], object]:
    """What is timed: the level on all models, results left where they are."""
    if level.together:
        return partial(level.mlp, x, weights)
    parts = [(x[k], weights.of(k)) for k in range(len(x))]
    return lambda: [level.mlp(*part) for part in parts]
