"""Seconds that are kept: what no longer fits is skipped and named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_FIRST = {"check": 2.0, "time": 5.0, "compile": 40.0, "step": 10.0, "tile": 5.0}
"""Seconds that the first piece of work of a kind is taken to need; later ones as many as the longest so far."""


@dataclass(frozen=True)
class Skipped:
    """What was not done, and why."""

    what: str
    why: str


@dataclass
class Budget:
    """Of ``seconds`` from when it is made, by the clock ``now``."""

    seconds: float
    now: Callable[[], float] = time.monotonic
    skipped: list[Skipped] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=lambda: dict(_FIRST))

    def __post_init__(self) -> None:
        self.begun = self.now()
        self.measured: set[str] = set()

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self.now() - self.begun

    @property
    def left(self) -> float:
        """Seconds to go; negative past the end."""
        return self.seconds - self.spent

    def part(self, seconds: float) -> Budget:
        """A budget of so many seconds at most, within this one, that adds to what this one skipped."""
        return Budget(min(seconds, self.left), self.now, self.skipped, self.longest)

    def allows(self, kind: str, what: str) -> bool:
        """Whether a piece of work of that kind still fits; it is noted as skipped where it does not."""
        if self.left >= self.longest[kind]:
            return True
        self.skip(
            what, f"no time left: {max(self.left, 0):.0f} s, and the longest like it took {self.longest[kind]:.0f} s"
        )
        return False

    def skip(self, what: str, why: str) -> None:
        """Note what is not done."""
        self.skipped.append(Skipped(what, why))

    @contextmanager
    def spend(self, kind: str) -> Iterator[None]:
        """Time a piece of work, for those of its kind that follow."""
        begun = self.now()
        try:
            yield
        finally:
            took = self.now() - begun
            self.longest[kind] = max(took, self.longest[kind] if kind in self.measured else 0.0)
            self.measured.add(kind)
