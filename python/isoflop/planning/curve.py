"""What compute buys by a law of compute alone, as vision and reinforcement learning have: no N and no D to choose."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law
from isoflop.laws.presets import Preset, get_preset
from isoflop.planning.basis import with_constants
from isoflop.planning.page import Page, Paged, credits, finite, quantity

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_UNLIMITED = 1e300
_HALVINGS = 120
_BEYOND = 1e290


@dataclass(frozen=True)
class Bought(Paged):
    """What an amount of compute buys.

    Attributes:
        compute: C, in ``unit``; ``value`` there, of ``output``: a loss, an error, a reward.
        limit: the value that no compute goes beyond.
        doubled: what twice the compute changes the value by.
        intervals: of compute, value, limit and doubled where they were not given; None for published sets.
        level: of the intervals.
        unit, output, law, source, label, warnings: as of :class:`isoflop.Plan`.
    """

    compute: float
    value: float
    limit: float
    doubled: float
    intervals: dict[str, tuple[float, float]] | None
    level: float
    unit: str
    output: str
    law: str
    source: str
    label: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        record = asdict(self) | {"warnings": list(self.warnings)}
        if self.intervals is not None:
            record["intervals"] = finite(self.intervals)
        return record

    @property
    def page(self) -> Page:
        """As it is shown."""
        shown = {
            "compute": ("C", self.unit),
            "value": (self.output, "there"),
            "limit": (f"{self.output}_inf", "that no compute goes beyond"),
            "doubled": ("change", "by twice the compute"),
        }
        known = self.intervals or {}
        rows = [quantity(symbol, getattr(self, k), known.get(k), meaning) for k, (symbol, meaning) in shown.items()]
        remarks = [f"{self.level:.0%} intervals"] if self.intervals is not None else []
        return Page("what compute buys", rows, credits(self.law, self.source, "", remarks, self.warnings))


def buys(
    law: str | Fit | Preset, *, compute: float | None = None, value: float | None = None, level: float = 0.95
) -> Bought:
    """What so much compute comes to by a law of compute alone, or the compute that a value needs.

    Args:
        law: a fit of a law of C alone, or the name of a published set of one: "zhai-fine-tune", "henighan-math-c".
        compute: C, in the unit of the set or of the fit's column.
        value: the loss, error or reward to reach, in its place.
        level: of the intervals that a fit gives.

    Raises:
        PlanError: both or neither of ``compute`` and ``value``, an amount that is not positive, a value that no compute
            reaches (the error says the limit), or a law that sees other things.
        LawError: no published set of that name.
    """
    if (compute is None) == (value is None):
        raise PlanError("what compute buys is asked by `compute` or by `value`", hint="give one of them")
    if compute is not None and not 0 < compute < math.inf:
        raise PlanError(f"compute = {compute!r}", hint="a positive number, in the unit of the law")
    own_law = _law_of(law)
    basis = with_constants(law, ("C",), own_law.output)

    def answers(draws: Array) -> Array:
        spent = np.full(len(draws), compute) if compute is not None else _reaching(basis.law, draws, value or 0.0)
        at = [_value(basis.law, draws, c) for c in (spent, np.full(len(draws), _UNLIMITED), 2 * spent)]
        return np.stack([spent, at[0], at[1], at[2] - at[0]], axis=1)

    own = dict(zip(_NAMES, answers(basis.params)[0].tolist(), strict=True))
    if own["compute"] > _BEYOND:
        raise PlanError(
            f"{basis.name} never gives {own_law.output} = {value:.6g}", hint=f"its limit is {own['limit']:.6g}"
        )
    found = basis.intervals(_NAMES, answers, level)
    given = "compute" if compute is not None else "value"
    if found is not None:
        found = {k: (low, high if high < _BEYOND else math.inf) for k, (low, high) in found.items() if k != given}
    label, warnings = basis.label(C=own["compute"])
    preset = get_preset(law) if isinstance(law, str) else law
    unit = preset.c_unit if isinstance(preset, Preset) else "as in the runs"
    return Bought(
        **own, intervals=found, level=level,
        unit=unit, output=own_law.output, law=basis.name, source=basis.source, label=label, warnings=warnings,
    )  # fmt: skip


_NAMES = ("compute", "value", "limit", "doubled")


def _law_of(law: str | Fit | Preset) -> Law:
    """The law itself, whatever it gives."""
    if isinstance(law, str):
        found = get_preset(law)
        law = found if isinstance(found, Preset) else law
    name = getattr(law, "law", law)
    own = name if isinstance(name, Law) else LAWS.get(str(name))
    if own is None or own.inputs != ("C",):
        raise PlanError(
            f"{getattr(law, 'name', law)} is no law of compute alone", hint="zhai-fine-tune, henighan-math-c"
        )
    return own


def _value(law: Law, draws: Array, compute: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.broadcast_to(law.code.evaluate(list(draws.T), [compute]), len(draws)), dtype=np.float64)


def _reaching(law: Law, draws: Array, value: float) -> Array:
    """C at which each draw gives the value: nearly without limit where it never does."""
    low, high = np.full(len(draws), math.log(1e-300)), np.full(len(draws), math.log(_UNLIMITED))
    falls = _value(law, draws, np.exp(high)) < _value(law, draws, np.exp(low))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = (_value(law, draws, np.exp(middle)) > value) == falls
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(np.exp(high))
