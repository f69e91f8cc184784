"""Tiles for the GPU at hand: those of the tables of all chips, and their neighbours, tried, checked and timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import torch

from isoflop.benchmark import correctness, tiles
from isoflop.benchmark.budget import Budget, Skipped
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.run import LIMIT, Say, device_of
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.targets import TARGETS, Target
from isoflop.benchmark.timing import clock_of
from isoflop.benchmark.variants import by_kernels
from isoflop.errors import KernelError, nearest
from isoflop.kernels.configurations import Configuration, chip_of, configuration, entries
from isoflop.kernels.launch import interpreted

Numbers = tuple[tuple[str, int], ...]

FASTER = 0.98
"""Of its time, at most, that a tile must take to replace the present one: less is noise."""

_AGAIN = 3  # times the present tile and the best are compared before the best is kept
_FIXED = ("sdpa_past",)  # numbers of a table that are no tile
_SMALL = {"batch": 2, "seq": 67}  # of the size that a tile is checked at, whose width is that it is timed at

Measure = Callable[[str, Configuration, Size], float | str]
"""(table, row, size) to the seconds of a call, or to why there are none: it does not compile, it is wrong."""


@dataclass(frozen=True)
class Tuned:
    """One row of a table: the tile before and after, their seconds, how many were tried, and what could not be."""

    table: str
    size: Size
    before: Configuration
    after: Configuration
    before_seconds: float
    after_seconds: float
    tried: int
    refused: list[tuple[dict[str, int], str]]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and scalars, ready for JSON."""
        plain = {"size": self.size._asdict(), "before": dict(self.before), "after": dict(self.after)}
        return self.__dict__ | plain | {"served": {"chip": self.after.chip, "width": self.after.width}}

    @property
    def changed(self) -> bool:
        """Whether another tile is faster."""
        return dict(self.before) != dict(self.after)


@dataclass
class Tuning:
    """Every row that was tuned, the tables that were written, and what there was no time for."""

    rows: list[Tuned] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and scalars, ready for JSON."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "written": [str(path) for path in self.written],
            "skipped": [asdict(each) for each in self.skipped],
        }


def tune(
    tables: Iterable[str] | None = None, *, kind: str = "cuda", limit: float = LIMIT, chip: str | None = None,
    into: Path | None = None, measure: Measure | None = None, say: Say = lambda text: None,
) -> Tuning:  # fmt: skip
    """Find tiles and write those that are faster to the user's tables, which ``configuration`` reads first.

    Args:
        tables: of :data:`TARGETS`; all where None.
        kind, limit: as of :func:`isoflop.benchmark.bench`.
        chip, measure: in place of the GPU's own, and of trying and timing on it.
        into: the folder of tables, in place of the user's.

    Raises:
        KernelError: an unknown table, or no GPU; StoreError: a table cannot be written.
    """
    wanted = [*(TARGETS if tables is None else tables)]
    for name in wanted:
        if name not in TARGETS:
            raise KernelError(f"there is no table of tiles {name!r} to tune", hint=nearest(name, TARGETS))
    budget = Budget(limit)
    if measure is None:
        device = device_of(kind)
        if device.type != "cuda" and not interpreted():
            raise KernelError("tiles are tuned on a GPU; Triton kernels do not run on a CPU", hint="--device cuda")
        measure, chip = measurer(device), chip_of(device)
    made = Tuning(skipped=budget.skipped)
    for name in wanted:
        target = TARGETS[name]
        better: list[Configuration] = []
        for size in target.sizes:
            if found := _tune(name, target, size, chip, measure, budget, say):
                made.rows.append(found)
                better += [found.after] if found.changed else []
        if better:
            made.written.append(tiles.keep(name, better, into))
    return made


def measurer(device: torch.device) -> Measure:
    """What tries a row on ``device``: runs it, refuses it where it is wrong, and times it."""
    clock = clock_of(device)

    def measure(table: str, row: Configuration, size: Size) -> float | str:
        target = TARGETS[table]
        case = CASES[target.op]
        dtype = torch.bfloat16 if torch.bfloat16 in case.dtypes and device.type == "cuda" else torch.float32
        with tiles.tried(table, row):
            try:
                small = size._replace(models=min(2, size.models), **_SMALL)
                verdict = correctness.check(target.op, dtype, device, kernels=True, sizes=(small,))
                if not verdict.passed:
                    return f"wrong: {verdict.what} is off by {verdict.error:.1e}, {verdict.allowed:.1e} is allowed"
                call = by_kernels(case, case.draw(size, dtype, device), both=target.both)
                return clock.time({"tile": call}, 0.1)["tile"].median
            except Exception as error:  # of the compiler or the driver: a tile that cannot be is one of many
                return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"

    return measure


def candidates(best: Configuration) -> Iterator[Configuration]:
    """The neighbours of a tile: each number doubled or halved, stages one more or one less."""
    for name, value in best.items():
        if name in _FIXED:
            continue
        for other in (value + 1, value - 1) if name == "stages" else (2 * value, value // 2):
            if other >= 1 and (name != "warps" or other <= 16):
                yield _like(best, {**best, name: other})


def _tune(
    name: str, target: Target, size: Size, chip: str | None, measure: Measure, budget: Budget, say: Say
) -> Tuned | None:  # fmt: skip
    dtype = torch.bfloat16 if torch.bfloat16 in CASES[target.op].dtypes else torch.float32
    served = target.served(size)
    now = configuration(name, width=served or size.width, dtype=dtype, chip=chip)
    present = Configuration(now.numbers, chip, 8 * dtype.itemsize if served else None, served)
    refused: list[tuple[dict[str, int], str]] = []
    taken: dict[Numbers, float] = {}
    first = _key(present)

    def seconds_of(row: Configuration) -> float:
        what = f"{name} at {size}: {', '.join(f'{value} {key}' for key, value in row.items())}"
        if not budget.allows("tile", what):
            return math.inf
        say(what)
        with budget.spend("tile"):
            answer = measure(name, row, size)
        if isinstance(answer, str):
            refused.append((dict(row), answer))
            return math.inf
        return answer

    queue = [present, *(_like(present, row) for row in entries(name))]
    while fresh := {_key(row): row for row in queue if _key(row) not in taken}:
        taken |= {key: seconds_of(row) for key, row in fresh.items()}
        fastest: Numbers = min(taken, key=taken.__getitem__)
        best = _like(present, dict(fastest))
        queue = [*candidates(best)]
    if taken[first] == math.inf:
        return None
    tried = sum(seconds < math.inf for seconds in taken.values())
    return _compared(name, present, best, size, measure, tried, refused)


def _key(row: Configuration) -> Numbers:
    return tuple(sorted(dict(row).items()))


def _compared(
    name: str, present: Configuration, best: Configuration, size: Size, measure: Measure, tried: int,
    refused: list[tuple[dict[str, int], str]],
) -> Tuned:  # fmt: skip
    """The better of two tiles, timed in turns: the fastest of many is fastest by luck, too."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_AGAIN):
        for row, taken in zip((present, best), times, strict=True):
            answer = measure(name, row, size)
            taken.append(math.inf if isinstance(answer, str) else answer)
    before, after = median(times[0]), median(times[1])
    kept, seconds = (best, after) if after <= FASTER * before else (present, before)
    return Tuned(name, size, present, kept, before, seconds, tried, refused)


def _like(row: Configuration, numbers: Mapping[str, int]) -> Configuration:
    """A row for what ``row`` serves, with other numbers."""
    fixed = {name: row[name] for name in _FIXED if name in row}
    return Configuration(MappingProxyType(dict(numbers) | fixed), row.chip, row.bits, row.width)
