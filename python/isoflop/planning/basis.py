"""What a plan rests on: a fit or a published set, reduced to a law, its constants and what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import LawError, PlanError, nearest
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law
from isoflop.laws.optimum import SIZES, losses, require_optimum
from isoflop.laws.presets import PRESETS, Allocation, Exponents, Preset
from isoflop.planning.page import credits

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_PLANNABLE = "a fit, or a published set such as chinchilla-besiroglu"


@dataclass(frozen=True)
class Basis:
    """A law with constants.

    Attributes:
        name: of the law or the published set.
        law: the law.
        params: its constants in the law's order, shape (1, p).
        fit: where the constants and their intervals come from; None for a published set.
        source: where the constants come from.
        n_convention: which parameters N counts; empty where unknown.
        notes: what to know before using it.
    """

    name: str
    law: Law
    params: Array
    fit: Fit | None
    source: str
    n_convention: str
    notes: tuple[str, ...]

    def loss(self, n: float, d: float) -> float:
        """Of a law in N and D, nats per token."""
        at = (np.log(np.array([[value]])) for value in (n, d))
        return float(losses(self.law, self.params, *at)[0, 0])

    def intervals(
        self, names: Sequence[str], fn: Callable[[Array], Array], level: float
    ) -> dict[str, tuple[float, float]] | None:
        """Of every column of ``fn`` over draws of the constants, by name; None where nothing was fitted."""
        if self.fit is None or not self.fit.bootstrap().draws.size:
            return None
        from isoflop.fitting.derived import intervals

        found = intervals(self.fit, fn, level, None)
        return {name: each.interval for name, each in zip(names, found, strict=True)}

    def label(self, **at: float) -> tuple[str, tuple[str, ...]]:
        """How far N and D, or other inputs, lie beyond the runs, empty for a published set; and what to know."""
        if self.fit is None:
            return "", self.notes
        from isoflop.fitting.prediction import INTERPOLATION, labels

        (label,) = labels(self.fit.data.columns, {name: np.array([value]) for name, value in at.items()})
        outside = () if label == INTERPOLATION else (f"{label}: the intervals hold only if the law does",)
        return label, (*outside, *self.notes)

    @property
    def credit(self) -> str:
        """Whose constants these are and what to know of them, in lines."""
        return "\n".join(credits(self.name, self.source, self.n_convention, (), self.notes))

    @property
    def floor(self) -> str:
        """What the law gives past any model, in words."""
        low_high = ""
        if self.fit is not None and "E" in self.law.names and self.fit.bootstrap().draws.size:
            low_high = " [{:.4g}, {:.4g}]".format(*self.fit.interval("E"))
        return f"the law falls towards {self.loss(1e30, 1e30):.4g}{low_high}"


def get_basis(
    law: str | Fit | Preset | Allocation, inputs: Sequence[str] = SIZES, output: str = "L"
) -> Basis | Allocation:
    """The basis of a plan, of a law of these ``inputs`` that gives this ``output``.

    Raises:
        LawError: no published set of that name.
        PlanError: a law without constants, or one that cannot trade N against D.
    """
    if isinstance(law, str):
        law = _named(law, inputs, output)
    if isinstance(law, Allocation):
        return law
    if isinstance(law, Preset):
        if law.law not in LAWS:
            raise PlanError(f"{law.name} is of the law {law.law}, which sees whole schedules, not N and D")
        shape = LAWS[law.law]
        require_optimum(shape, inputs, output)
        params = np.array([[law.values[name] for name in shape.names]])
        return Basis(law.name, shape, params, None, law.source, law.n_convention, notes_of(law))
    from isoflop.fitting.fitted import Fit

    if isinstance(law, Fit):
        return _of_fit(law, inputs, output)
    raise PlanError(f"cannot plan from {type(law).__name__}", hint=f"plan from {_PLANNABLE}")


def notes_of(published: Preset | Allocation) -> tuple[str, ...]:
    """What to know before a published set answers a question of one's own."""
    own = [published.note] if published.note else []
    if not published.verified:
        own.append("these constants were not read in the paper itself")
    law = LAWS.get(published.law) if isinstance(published, Preset) else None
    if law is None or law.output == "L":
        own.append("losses are those of the tokenizer and the corpus of its paper: compare them with none of others")
    return (*own, *(_of_convention(published.n_convention) if law is None or "N" in law.inputs else ()))


def _of_convention(counts: str) -> tuple[str, ...]:
    if not counts:
        return ("nobody said which parameters N counts",)
    return ("N and C = 6 N D leave embeddings out",) if counts == "non-embedding" else ()


def _named(name: str, inputs: Sequence[str], output: str) -> Preset | Allocation:
    if name in PRESETS:
        published = PRESETS[name]
        if isinstance(published, Exponents):
            raise PlanError(
                f"{name} has exponents without coefficients: they give no N and no D", hint=f"plan from {_PLANNABLE}"
            )
        return published
    if name in LAWS:
        require_optimum(LAWS[name], inputs, output)
        sets = [preset.name for preset in PRESETS.values() if isinstance(preset, Preset) and preset.law == name]
        raise PlanError(
            f"{name} is a law without constants", hint=f"plan from a fit of it, or from {', '.join(sets) or 'a set'}"
        )
    raise LawError(f"unknown law {name!r}", hint=nearest(name, PRESETS))


def _of_fit(fit: Fit, inputs: Sequence[str], output: str) -> Basis:
    require_optimum(fit.law, inputs, output)
    params = np.array([[fit.params[name] for name in fit.law.names]])
    source = f"fit to {fit.n_runs} runs" + (f" of {fit.data.source}" if fit.data.source else "")
    drawn = fit.bootstrap()
    few = (f"intervals rest on {drawn}",) if drawn.failed else ()
    notes = (*fit.notes, *few, *_of_convention(fit.data.n_convention))
    return Basis(fit.law.name, fit.law, params, fit, source, fit.data.n_convention, notes)


def with_constants(law: str | Fit | Preset, inputs: Sequence[str] = SIZES, output: str = "L") -> Basis:
    """The basis of what needs a law itself, which an allocation does not give.

    Raises as :func:`get_basis` does.
    """
    basis = get_basis(law, inputs, output)
    if isinstance(basis, Allocation):
        raise PlanError(f"{basis.name} has no loss of N and D", hint=f"plan from {_PLANNABLE}")
    return basis
