"""What a benchmark found, and on what machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from isoflop.benchmark.beside import Beside
from isoflop.benchmark.budget import Skipped
from isoflop.benchmark.ceilings import Ceilings
from isoflop.benchmark.correctness import Verdict
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.steps import StepTime
from isoflop.benchmark.timing import Time
from isoflop.hardware import Ceiling, Info


@dataclass(frozen=True)
class OpTime:
    """One op at one size: by way of running it, its time; ``roofline`` is the least time by arithmetic, in seconds."""

    op: str
    phase: str
    size: Size
    dtype: str
    roofline: float
    times: dict[str, Time]


@dataclass
class Bench:
    """What was found, and on what.

    Attributes:
        device: its name; ``kind`` is "cuda" or "cpu".
        date: when it began, UTC.
        ceilings: what rooflines and MFU are relative to, and who says so.
        measured: the largest products and copies of this machine, for comparison.
        kernels: whether Triton's kernels ran, and not C++ and definitions alone.
        beside: fits and counts by this package and by others.
        energy: whose energy is counted, or why none is.
    """

    device: str
    kind: str
    date: str
    machine: Info
    runtime: str
    quick: bool
    kernels: bool
    limit: float
    ceilings: Ceilings
    measured: tuple[Ceiling, ...]
    verdicts: list[Verdict] = field(default_factory=list)
    ops: list[OpTime] = field(default_factory=list)
    steps: list[StepTime] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    energy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and scalars, ready for JSON."""
        made = {name: value for name, value in self.__dict__.items() if name not in ("machine", "ceilings", "ops")}
        listed = ("measured", "verdicts", "steps", "beside", "skipped")
        lists = {name: [asdict(each) for each in made[name]] for name in listed}
        ops = [
            asdict(each) | {"size": each.size._asdict(), "times": {n: t._asdict() for n, t in each.times.items()}}
            for each in self.ops
        ]
        return made | {"machine": self.machine.to_dict(), "ceilings": self.ceilings._asdict()} | lists | {"ops": ops}
