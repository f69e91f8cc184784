"""Training on fewer tokens than a budget asks for: epochs worth paying for, and where a stock of tokens ends.

Of U unique tokens D are seen in D/U epochs; repeated ones are worth ever less (Muennighoff et al. 2023, arXiv
2305.16264, eq 5 and 6). The best N and D of a budget are then no longer those of fresh data: more of it goes
to epochs than to parameters.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.law import Law
from isoflop.laws.lowest import lowest
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.presets import Preset
from isoflop.planning.basis import with_constants
from isoflop.planning.compute import parse_compute
from isoflop.planning.page import Shown
from isoflop.planning.settled import optimal_compute

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

REPEATED = ("N", "D", "U")
_FRESH = 1e40
"""Tokens that are more than any budget sees."""
_HALVINGS = 60


@dataclass(frozen=True)
class Repeats(Shown):
    """The best use of a budget with so many unique tokens.

    Attributes:
        compute, unique: FLOPs and tokens.
        n_params, n_tokens, epochs, loss: N, D = epochs * unique (or less than one epoch), nats per token.
        fresh_n_params, fresh_n_tokens, fresh_loss: the same, were every token new.
        wasted: share of the compute that fresh data would do without for the same loss.
        intervals: of these but for the budget's, where the law is a fit; None for published sets.
        law, source, warnings: whose constants these are, and what to know of them.
    """

    compute: float
    unique: float
    n_params: float
    n_tokens: float
    epochs: float
    loss: float
    fresh_n_params: float
    fresh_n_tokens: float
    fresh_loss: float
    wasted: float
    intervals: dict[str, tuple[float, float]] | None
    law: str
    source: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def __str__(self) -> str:
        now = f"N {self.n_params:.4g}, D {self.n_tokens:.4g} in {self.epochs:.3g} epochs, loss {self.loss:.4g}"
        new = f"N {self.fresh_n_params:.4g}, D {self.fresh_n_tokens:.4g}, loss {self.fresh_loss:.4g}"
        lines = [f"{self.unique:.4g} unique tokens: {now}", f"  were all tokens new: {new}"]
        lines.append(f"  new tokens would give the loss above for {self.wasted:.1%} less compute")
        for name, (low, high) in (self.intervals or {}).items():
            lines.append(f"  {name} [{low:.4g}, {high:.4g}]")
        return "\n".join([*lines, f"{self.law}: {self.source}", *(f"warning: {each}" for each in self.warnings)])


_QUANTITIES = (
    "n_params", "n_tokens", "epochs", "loss", "fresh_n_params", "fresh_n_tokens", "fresh_loss", "wasted",
)  # fmt: skip


def repeat(
    compute: str | float, unique: float, law: str | Fit | Preset = "muennighoff", *, level: float = 0.95
) -> Repeats:
    """The N and D that reach the lowest loss with a budget and ``unique`` tokens, which may be seen many times.

    Args:
        compute: FLOPs, or text as :func:`parse_compute` reads it.
        unique: tokens at hand.
        law: a fit of a law in N, D and U, or the name of a published set of one.
        level: of the intervals that a fit gives.

    Raises:
        PlanError: an unreadable budget, tokens that are not 1 or more, or a law that does not see U.
        LawError: no published set of that name.
    """
    basis, flops = with_constants(law, REPEATED), parse_compute(compute)
    if not 1 <= unique < math.inf:
        raise PlanError(f"unique = {unique!r} tokens are at hand", hint="1 or more, as in 1e11")
    found = _answers(basis.law, basis.params, flops, unique)[0]
    values = dict(zip(_QUANTITIES, found.tolist(), strict=True))
    return Repeats(
        compute=flops, unique=unique, **values,
        intervals=basis.intervals(_QUANTITIES, lambda draws: _answers(basis.law, draws, flops, unique), level),
        law=basis.name, source=basis.source, warnings=basis.notes,
    )  # fmt: skip


def _answers(law: Law, draws: Array, flops: float, unique: float) -> Array:
    """The quantities (draws, 8) of a budget."""
    n, d, loss = _best(law, draws, np.full(len(draws), math.log(flops / FLOP_PER_PARAM_TOKEN)), unique)
    fresh_n, fresh_d, fresh_loss = _best(
        law, draws, np.full(len(draws), math.log(flops / FLOP_PER_PARAM_TOKEN)), _FRESH
    )
    low = np.zeros(len(draws))
    high = np.full(len(draws), math.log(flops / FLOP_PER_PARAM_TOKEN))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _best(law, draws, middle, _FRESH)[2] <= loss
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    wasted = 1 - np.exp(high) * FLOP_PER_PARAM_TOKEN / flops
    return np.stack([n, d, d / unique, loss, fresh_n, fresh_d, fresh_loss, wasted], axis=1)


def _best(law: Law, draws: Array, budgets: Array, unique: float) -> tuple[Array, Array, Array]:
    """N, D and the loss (draws,) of ln C/6 (draws,) with so many unique tokens."""

    def loss(log_n: Array) -> Array:
        at = {"N": np.exp(log_n), "D": np.exp(budgets - log_n), "U": np.full(log_n.shape, unique)}
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(law.code.evaluate(list(draws.T), [at[name] for name in law.inputs]), dtype=np.float64)

    log_n, _ = lowest(loss, np.zeros(budgets.shape), budgets)
    return np.exp(log_n), np.exp(budgets - log_n), loss(log_n)


def data_wall(tokens: float, law: str | Fit | Preset = "chinchilla-besiroglu") -> float:
    """FLOPs whose compute-optimal model sees exactly this stock of tokens once; larger budgets ask for more.

    Raises:
        PlanError: tokens that are not 1 or more, or a law that does not trade N against D.
        LawError: no published set of that name.
    """
    basis = with_constants(law)
    if not 1 <= tokens < math.inf:
        raise PlanError(f"a stock of {tokens!r} tokens", hint="1 or more, as in 1.5e13")
    return optimal_compute(basis, "n_tokens", tokens)
