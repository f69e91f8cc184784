"""``plan``: the compute-optimal model size, tokens and loss of a budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.errors import PlanError
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, optimum
from isoflop.laws.presets import FLOP_PER_UNIT, PF_DAY, Allocation, Preset
from isoflop.planning.basis import Basis, get_basis, notes_of
from isoflop.planning.compute import parse_compute
from isoflop.planning.concrete import Concrete, Space, choose_shape
from isoflop.planning.page import Page, Paged, page_of, record_of

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

_LABELS = {
    "n_params": ("N", "parameters"),
    "n_tokens": ("D", "tokens"),
    "tokens_per_param": ("D/N", "tokens per parameter"),
    "loss": ("L", "nats/token"),
    "a": ("a", "exponent of N in C"),
    "b": ("b", "exponent of D in C"),
}

_ASKED = {"n_params": "N", "n_tokens": "D", "tokens_per_param": "tokens_per_param", "loss": "L", "a": "a", "b": "b"}
"""What ``fit.allocate`` calls them."""


@dataclass(frozen=True)
class Plan(Paged):
    """A compute-optimal allocation.

    Attributes:
        compute: budget in FLOPs.
        n_params, n_tokens: optimal N (parameters) and D (tokens).
        loss: predicted loss there, nats per token.
        tokens_per_param: D/N.
        a, b: exponents of N* and D* in C.
        intervals: of the above by name, as ``fit.allocate`` gives them; None for published sets.
        level: of the intervals.
        law: name of the law or of the published set.
        source: where its constants come from.
        n_convention: which parameters N counts; empty where unknown.
        label: "interpolation", or "extrapolation by 1.3 decades in C" and in whatever else lies outside the runs; empty
            for published sets.
        warnings: what to know before acting on it.
        shape: a model of that size, where one was asked for.
        basis: what it rests on, for questions that follow; None for power laws of the budget.
    """

    compute: float
    n_params: float
    n_tokens: float
    loss: float
    tokens_per_param: float
    a: float
    b: float
    intervals: dict[str, tuple[float, float]] | None
    level: float
    law: str
    source: str
    n_convention: str
    label: str
    warnings: tuple[str, ...]
    shape: Concrete | None = None
    basis: Basis | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return record_of(self)

    @property
    def page(self) -> Page:
        """As it is shown."""
        head = f"compute-optimal training with {self.compute:.4g} FLOP ({self.compute / PF_DAY:.4g} PF-days)"
        return page_of(self, head, _LABELS)


def plan(
    compute: str | float, law: str | Fit | Preset | Allocation = "chinchilla-besiroglu", *, level: float = 0.95,
    shape: Space | None = None,
) -> Plan:  # fmt: skip
    """The N and D that reach the lowest loss with a compute budget, C = 6 N D, and that loss.

    Args:
        compute: FLOPs, or text such as "5.76e23 FLOP" or "300 PF-days".
        law: a fit of a law in N and D, or the name of a published set.
        level: of the intervals that a fit gives.
        shape: which shapes a concrete one may be chosen from; ``Space()`` for usual ones.

    Raises:
        PlanError: an unreadable budget, a law that cannot trade N against D, or no shape that fits.
        ShapeError, SpecError: a space without shapes, an unknown device or convention.
        LawError: no published set of that name.
    """
    if not 0 < level < 1:
        raise PlanError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    flops = parse_compute(compute)
    basis = get_basis(law)
    if isinstance(basis, Allocation):
        return _allocate(flops, basis, level, shape)
    best = optimum(basis.law, basis.params, np.array([flops]))
    n, d = float(best.n_params[0, 0]), float(best.n_tokens[0, 0])
    intervals = None
    if basis.fit is not None and basis.fit.bootstrap().draws.size:
        found = basis.fit.allocate(flops, level)
        intervals = {name: found[asked].interval for name, asked in _ASKED.items()}
    label, warnings = basis.label(N=n, D=d)
    return Plan(
        compute=flops,
        n_params=n,
        n_tokens=d,
        loss=float(best.loss[0, 0]),
        tokens_per_param=d / n,
        a=float(best.a[0]),
        b=float(best.b[0]),
        intervals=intervals,
        level=level,
        law=basis.name,
        source=basis.source,
        n_convention=basis.n_convention,
        label=label,
        warnings=warnings,
        shape=None if shape is None else choose_shape(flops, n, basis.n_convention, shape, basis.loss),
        basis=basis,
    )


def _allocate(flops: float, preset: Allocation, level: float, space: Space | None) -> Plan:
    """Power laws of the budget as printed; N and D come from separate fits and 6 N D need not return C."""
    units = flops / FLOP_PER_UNIT[preset.c_unit]
    n = preset.n_params[0] * units ** preset.n_params[1]
    d = preset.n_tokens[0] * units ** preset.n_tokens[1]
    spent = FLOP_PER_PARAM_TOKEN * n * d / flops
    apart = () if abs(spent - 1) < 1e-6 else (f"N and D are separate power laws of C: 6 N D is {spent:.2f} C",)
    warnings = (*apart, *notes_of(preset))
    loss = preset.floor + (preset.loss[0] / units) ** preset.loss[1]
    return Plan(
        compute=flops,
        n_params=n,
        n_tokens=d,
        loss=loss,
        tokens_per_param=d / n,
        a=preset.n_params[1],
        b=preset.n_tokens[1],
        intervals=None,
        level=level,
        law=preset.name,
        source=preset.source,
        n_convention=preset.n_convention,
        label="",
        warnings=warnings,
        shape=None if space is None else choose_shape(flops, n, preset.n_convention, space, lambda _n, _d: loss),
    )
