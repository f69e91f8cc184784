"""How far to go against a reward model: past some divergence its reward still rises and the true one falls.

    best of n                 R = d (alpha - beta d)       highest at d = alpha/(2 beta)
    reinforcement learning    R = d (alpha - beta ln d)    highest at d = exp(alpha/beta - 1)

d = sqrt(KL) from the policy one began with, in nats (Gao 2022, arXiv 2210.10760, section 1). The paper shows its
constants as curves alone: fit them to rewards of your own, or give them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.catalogue import get_law
from isoflop.laws.conversions import best_kl_of_n, best_kl_of_rl, best_of_n_kl
from isoflop.laws.presets import Preset
from isoflop.planning.basis import with_constants
from isoflop.planning.page import Page, Paged, credits, quantity

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_HIGHEST = {"gao-bon": best_kl_of_n, "gao-rl": best_kl_of_rl}
_LABELS = {
    "kl": ("KL", "nats from where it began, at the highest true reward"),
    "reward": ("R", "gained there"),
    "n": ("n", "samples, the best of which is as far"),
}
_HALVINGS = 80


@dataclass(frozen=True)
class Stop(Paged):
    """Where to stop going after a reward model.

    Attributes:
        kl: divergence at which the true reward is highest, nats; ``reward`` gained there.
        n: samples of best-of-n of that divergence, KL = ln n - (n - 1)/n; None for reinforcement learning.
        intervals: of these; None where nothing was fitted.
        level: of the intervals.
        law, source, warnings: as of :class:`isoflop.Plan`.
    """

    kl: float
    reward: float
    n: float | None
    intervals: dict[str, tuple[float, float]] | None
    level: float
    law: str
    source: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"warnings": list(self.warnings)}

    @property
    def page(self) -> Page:
        """As it is shown."""
        known = self.intervals or {}
        shown = {k: getattr(self, k) for k in _LABELS if getattr(self, k) is not None}
        rows = [quantity(_LABELS[k][0], value, known.get(k), _LABELS[k][1]) for k, value in shown.items()]
        remarks = [f"{self.level:.0%} intervals"] if self.intervals is not None else []
        return Page(
            "the divergence past which a reward model is over-optimised",
            rows,
            credits(self.law, self.source, "", remarks, self.warnings),
        )


def best_kl(law: Fit | Mapping[str, float], *, method: str = "gao-bon", level: float = 0.95) -> Stop:
    """The divergence at which the true reward is highest.

    Args:
        law: a fit of ``gao-bon`` or ``gao-rl``, or alpha and beta themselves.
        method: with alpha and beta, whose they are: "gao-bon" or "gao-rl".
        level: of the intervals that a fit gives.

    Raises:
        PlanError: neither of these laws, alpha and beta are not both given and finite, or a reward without a highest
            point beyond the start: beta, or alpha of best-of-n, is not above zero.
    """
    known: Fit | Preset
    if isinstance(law, Mapping):
        if method not in _HIGHEST:
            raise PlanError(f"method = {method!r} against a reward model", hint=", ".join(_HIGHEST))
        if set(law) != {"alpha", "beta"} or not all(math.isfinite(value) for value in law.values()):
            raise PlanError(f"constants {dict(law)} of {method}", hint="{'alpha': 0.7, 'beta': 0.1}")
        given = get_law(method)
        known = Preset("constants given", method, {k: float(v) for k, v in law.items()}, given.source)
    else:
        known = law
    basis = with_constants(known, ("d",), "R")
    if basis.law.name not in _HIGHEST:
        raise PlanError(f"{basis.law.name} says nothing of a reward model", hint=", ".join(_HIGHEST))
    of_n = basis.law.name == "gao-bon"
    alpha, beta = (float(basis.params[0, basis.law.names.index(name)]) for name in ("alpha", "beta"))
    if beta <= 0 or (of_n and alpha <= 0):
        raise PlanError(
            f"alpha = {alpha:.4g}, beta = {beta:.4g}: the reward has no highest point", hint="both above zero"
        )
    names = tuple(_LABELS)[: 3 if of_n else 2]

    def answers(draws: Array) -> Array:
        kl = _HIGHEST[basis.law.name](*(draws[:, basis.law.names.index(name)] for name in ("alpha", "beta")))
        reward = np.asarray(basis.law.code.evaluate(list(draws.T), [np.sqrt(kl)]))
        return np.stack([kl, reward, *([_samples(kl)] if of_n else [])], axis=1)

    own: dict[str, float] = dict(zip(names, answers(basis.params)[0].tolist(), strict=True))
    return Stop(
        own["kl"], own["reward"], own.get("n"), basis.intervals(names, answers, level), level,
        basis.name, basis.source, basis.label(d=math.sqrt(own["kl"]))[1],
    )  # fmt: skip


def _samples(kl: Array) -> Array:
    """n of best-of-n with that divergence, at least 1."""
    low, high = np.zeros(kl.shape), kl + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        less = best_of_n_kl(np.exp(middle)) < kl
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return np.asarray(np.exp((low + high) / 2))
