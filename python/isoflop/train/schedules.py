"""Learning rate over a run: a warm-up, a hold and a fall, each a row of a table; cool-downs that branch off one trunk.

    rate(step) = warm-up x hold x fall, all in [0, 1], in multiples of the peak

A schedule is a form of :data:`FORMS` (how it holds and falls) with its lengths in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import SpecError, nearest

Array = NDArray[np.float64]

HOLDS: dict[str, Callable[[Array], Array]] = {
    "constant": np.ones_like,
    "inverse-sqrt": lambda t: 1 / np.sqrt(1 + t),
}
"""The multiplier t warm-ups after the end of the warm-up (Vaswani et al. 2017, section 5.3, for the inverse root)."""

FALLS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda u: 1 - u,
    "cosine": lambda u: 0.5 * (1 + np.cos(np.pi * u)),
    "1-sqrt": lambda u: 1 - np.sqrt(u),
}
"""The multiplier after the share u of the fall, from 1 at u = 0 to 0 at u = 1 (1-sqrt: Hägele et al. 2024)."""


@dataclass(frozen=True)
class Form:
    """How a schedule holds after its warm-up, how it falls, and the share of the run that the fall takes.

    ``decay`` 1 is all of the run after the warm-up, 0 none of it.
    """

    hold: str
    fall: str
    decay: float


FORMS: dict[str, Form] = {
    "constant": Form("constant", "linear", 0.0),
    "linear": Form("constant", "linear", 1.0),
    "cosine": Form("constant", "cosine", 1.0),
    "wsd": Form("constant", "1-sqrt", 0.2),
    "wsd-linear": Form("constant", "linear", 0.2),
    "wsd-cosine": Form("constant", "cosine", 0.2),
    "inverse-sqrt": Form("inverse-sqrt", "linear", 0.0),
}
"""Schedules by name; ``wsd`` is warm-up, stable, decay (Hu et al. 2024, MiniCPM) with the decay of Hägele et al. 2024,
a fifth of the run."""

KAPLAN_WARMUP = 3000
"""Steps of linear warm-up before the cosine to zero of Kaplan et al. 2020, section 2.2."""


@dataclass(frozen=True)
class Schedule:
    """Multipliers of the peak learning rate over a run.

    Attributes:
        form: a name of :data:`FORMS`.
        warmup: steps of linear warm-up; the last of them has the whole rate.
        decay: last steps of the run, over which the rate falls; None for the share of the run that the form says.
        final: what it falls to, a share of the peak; the last step has exactly this rate.

    Raises:
        SpecError: an unknown form, or a value out of its domain.
    """

    form: str = "cosine"
    warmup: int = 0
    decay: int | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SpecError(f"unknown schedule {self.form!r}", hint=nearest(str(self.form), FORMS))
        for name in ("warmup", "decay"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise SpecError(f"{name} = {value!r} must be a whole number of steps, zero or more")
        if not 0 <= self.final <= 1:
            raise SpecError(f"final = {self.final!r} must be a share of the peak, in [0, 1]")

    def decay_steps(self, n_steps: int) -> int:
        """Steps of the fall in a run of ``n_steps``.

        Raises:
            SpecError: the warm-up, or the warm-up and the fall, are longer than the run.
        """
        if self.warmup > n_steps:
            raise SpecError(
                f"the warm-up of {self.warmup} steps is longer than the run, {n_steps} steps",
                hint="shorten the warm-up, or train on more tokens",
            )
        if self.decay is None:
            # The first step after the warm-up has the whole rate.
            return min(round(FORMS[self.form].decay * n_steps), max(0, n_steps - 1 - self.warmup))
        if self.warmup + self.decay > n_steps:
            raise SpecError(
                f"a warm-up of {self.warmup} steps and a decay of {self.decay} are longer than the run, "
                f"{n_steps} steps",
                hint="shorten one of them, or train on more tokens",
            )
        return self.decay

    def rate(self, step: ArrayLike, n_steps: int) -> Array:
        """Multipliers in [0, 1] of ``step``, counted from 0, of a run of ``n_steps``; the shape of ``step``.

        Raises:
            SpecError: the schedule does not fit into the run, or a step lies outside it.
        """
        at = np.asarray(step, np.float64)
        if at.size and not (at.min() >= 0 and at.max() < n_steps):
            raise SpecError(f"steps {at.min():g} to {at.max():g} of a run of {n_steps}; they count from 0")
        form, decay, warmup = FORMS[self.form], self.decay_steps(n_steps), max(1, self.warmup)
        rising = np.minimum((at + 1) / warmup, 1.0)
        held = HOLDS[form.hold](np.maximum(at + 1 - warmup, 0.0) / warmup)
        fallen = np.clip((at + 1 - (n_steps - decay)) / max(1, decay), 0.0, 1.0) if decay else np.zeros_like(at)
        return np.asarray(rising * held * (self.final + (1 - self.final) * FALLS[form.fall](fallen)))

    def rates(self, n_steps: int) -> Array:
        """Multipliers (n_steps,) of every step of a run. Raises as :meth:`rate` does."""
        return self.rate(np.arange(n_steps), n_steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: ``Schedule(**schedule.to_dict()) == schedule``."""
        return asdict(self)


@dataclass(frozen=True, order=True)
class Branch:
    """A cool-down that leaves the trunk after ``start`` steps and takes ``cooldown`` more: one point at its own D."""

    start: int
    cooldown: int

    @property
    def n_steps(self) -> int:
        """Steps that the branch's model has made, those of the trunk included: D is this times the batch."""
        return self.start + self.cooldown

    def schedule(self, *, form: str = "wsd", warmup: int = 0, final: float = 0.0) -> Schedule:
        """The schedule of a run of ``n_steps`` that makes the same steps: equal to the trunk's up to ``start``."""
        return Schedule(form, warmup, self.cooldown, final)


def branches(trunk_steps: int, *, at: Sequence[int], decay_fraction: float) -> tuple[Branch, ...]:
    """Cool-downs off one run at a constant rate, by where they leave it (Hägele et al. 2024).

    Args:
        trunk_steps: how far the trunk is trained at most.
        at: steps of the trunk after which a branch leaves it, each once.
        decay_fraction: share of each branch's whole run that its cool-down takes, at least one step.

    Raises:
        SpecError: no branch, one that leaves twice or beyond the trunk, or a share outside (0, 1).
    """
    if not 0 < decay_fraction < 1:
        raise SpecError(f"decay_fraction = {decay_fraction!r} must lie between 0 and 1")
    if not at or len(set(at)) < len(at):
        raise SpecError(f"at = {list(at)!r} must name steps of the trunk, each once")
    beyond = [step for step in at if not 1 <= step <= trunk_steps]
    if beyond:
        raise SpecError(
            f"a branch leaves after step {beyond[0]} of a trunk of {trunk_steps}",
            hint=f"name steps from 1 to {trunk_steps}, or train a longer trunk",
        )
    share = decay_fraction / (1 - decay_fraction)
    return tuple(Branch(step, max(1, round(share * step))) for step in sorted(at))


def steps_trained(branched: Sequence[Branch]) -> int:
    """Optimizer steps that the branches cost together: all cool-downs, and the trunk once, to where the last leaves.

    Times the batch they are tokens, times FLOPs a token the compute.
    """
    return max((branch.start for branch in branched), default=0) + sum(branch.cooldown for branch in branched)


def tokens_trained(branched: Sequence[Branch], *, batch_tokens: int) -> int:
    """Tokens that the branches cost together, the trunk's counted once; exact."""
    return steps_trained(branched) * batch_tokens
