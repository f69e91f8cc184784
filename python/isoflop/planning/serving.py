"""Models that are served once they are trained: the cheapest over both, and what being off the optimum costs.

Training costs 6 N D and serving V tokens 2 N V (Sardana and Frankle 2024, arXiv 2401.00448, eq 3); in money each FLOP
is weighed by the price of a device's hour over the FLOPs that it does in one at its utilisation (their eq 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.isoloss import FLOP_PER_PARAM_SERVED, best_for, cheapest, log_tokens
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, optimum
from isoflop.laws.presets import Preset
from isoflop.planning.basis import with_constants
from isoflop.planning.compute import parse_compute
from isoflop.planning.page import Shown

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Price:
    """What work on a device costs.

    Attributes:
        an_hour: of the device, in the currency that answers are to be in.
        peak: FLOP/s of the device.
        mfu: share of the peak that the work reaches, in (0, 1].
    """

    an_hour: float
    peak: float
    mfu: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf or (name == "mfu" and value > 1):
                raise PlanError(f"{name} = {value!r} of a price", hint="Price(an_hour=2.5, peak=989e12, mfu=0.4)")

    @property
    def a_flop(self) -> float:
        return self.an_hour / (3600 * self.peak * self.mfu)


@dataclass(frozen=True)
class Lifetime:
    """A model over its lifetime.

    Attributes:
        n_params, n_tokens: N, and the D that brings it to the loss.
        training, serving: FLOPs.
        cost: of both, in FLOPs of training, or in the currency of the prices.
    """

    n_params: float
    n_tokens: float
    training: float
    serving: float
    cost: float


@dataclass(frozen=True)
class Serving(Shown):
    """The model of a loss that is cheapest to train and to serve.

    Attributes:
        loss: nats per token.
        served: tokens over the lifetime.
        best: the cheapest model.
        usual: the compute-optimal one of that loss, which costs least to train.
        saving: share of the cost of ``usual``.
        pays_from: tokens served from which ``best`` is the cheaper of the two; infinite where they are one model.
        intervals: of n_params, n_tokens, loss and saving, and of the usual_n_params and usual_n_tokens; None for
            published sets.
        law, source: whose constants these are.
    """

    loss: float
    served: float
    best: Lifetime
    usual: Lifetime
    saving: float
    pays_from: float
    intervals: dict[str, tuple[float, float]] | None
    law: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is infinite is None."""
        return {**asdict(self), "pays_from": self.pays_from if math.isfinite(self.pays_from) else None}

    def __str__(self) -> str:
        rows = [f"  {'':10}  {'N':>10}  {'D':>10}  {'D/N':>8}  {'training':>10}  {'serving':>10}  {'cost':>10}"]
        for name, of in (("cheapest", self.best), ("to train", self.usual)):
            values = (of.n_params, of.n_tokens, of.n_tokens / of.n_params, of.training, of.serving, of.cost)
            cells = [f"{value:>{width}.4g}" for value, width in zip(values, (10, 10, 8, 10, 10, 10), strict=True)]
            rows.append("  ".join([f"  {name:10}", *cells]))
        head = f"a loss of {self.loss:.4g} and {self.served:.4g} tokens served: {self.saving:.1%} less"
        lines = [f"{head} than by the model that is cheapest to train", *rows]
        if math.isfinite(self.pays_from):
            lines.append(f"the smaller model is the cheaper one from {self.pays_from:.4g} tokens served")
        for name, (low, high) in (self.intervals or {}).items():
            lines.append(f"  {name} [{low:.4g}, {high:.4g}]")
        return "\n".join([*lines, f"{self.law}: {self.source}"])


def serve(
    law: str | Fit | Preset, tokens: float, *, compute: str | float | None = None, loss: float | None = None,
    generated: float = 0.0, training: Price | None = None, prefill: Price | None = None, decode: Price | None = None,
    level: float = 0.95,
) -> Serving:  # fmt: skip
    """The N and D that reach a loss at the least cost of training and of serving.

    Args:
        law: a fit of a law in N and D, or the name of a published set.
        tokens: read by the model over its lifetime; ``generated`` more are written.
        compute: the loss is that of the optimal model of this budget; or ``loss`` gives it in nats per token.
        training, prefill, decode: prices, of reading prompts and of writing apart; all or none. Without them a FLOP is
            a FLOP.
        level: of the intervals that a fit gives.

    Raises:
        PlanError: both or neither of ``compute`` and ``loss``, a loss that the law never gives, tokens below 0, some
            prices without the others, or a law that does not trade N against D.
        LawError: no published set of that name.
    """
    basis = with_constants(law)
    weights = _weights(training, prefill, decode)
    if not (0 <= tokens < math.inf and 0 <= generated < math.inf):
        raise PlanError(f"tokens = {tokens!r} and generated = {generated!r} are served", hint="0 or more, as in 2e12")
    weighed = (weights[1] * tokens + weights[2] * generated) / weights[0]
    target = _target(compute, loss)
    n, d, usual_n, usual_d, reached, saving = _models(basis.law, basis.params, target, weighed)[0]
    if not math.isfinite(n):
        raise PlanError(f"{basis.name} never gives a loss of {reached:.6g}", hint=basis.floor)
    served = tokens + generated
    best, usual = (_lifetime(*model, served, weighed, weights[0]) for model in ((n, d), (usual_n, usual_d)))
    return Serving(
        loss=reached,
        served=served,
        best=best,
        usual=usual,
        saving=saving,
        pays_from=_pays_from(best, usual) * (served / weighed if weighed else 1.0),
        intervals=basis.intervals(_QUANTITIES, lambda draws: _models(basis.law, draws, target, weighed), level),
        law=basis.name,
        source=basis.source,
    )


def implied_serving(law: str | Fit | Preset, n_params: float, n_tokens: float) -> float:
    """Tokens served for which N and D are the cheapest model of their loss; below 0 for one larger than the optimum.

    Raises as :func:`serve` does.
    """
    basis = with_constants(law)
    at = [np.log(np.array([[value]])) for value in (n_params, n_tokens)]
    return float(best_for(basis.law, basis.params, *at)[0, 0])


def overhead(law: str | Fit | Preset, compute: str | float, ratios: Sequence[float]) -> dict[str, Array]:
    """What models of the optimal one's loss cost that are ``ratios`` times as large.

    Returns:
        Columns ratio, N, D, and overhead, what C is above ``compute`` as a share of it; infinite where the loss is out
        of reach. From 0.6 to 2.2 times the optimal N it is at most 20 % (Kaplan 2020, appendix B.4).

    Raises as :func:`serve` does.
    """
    basis = with_constants(law)
    flops, sizes = parse_compute(compute), np.asarray(ratios, dtype=np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise PlanError(f"ratios are {list(ratios)}", hint="positive multiples of the optimal N, as in [0.5, 1, 2]")
    at = optimum(basis.law, basis.params, np.array([flops]))
    log_n = np.log(at.n_params * sizes)
    log_d = log_tokens(basis.law, basis.params, log_n, np.broadcast_to(at.loss, log_n.shape))
    n, d = np.exp(log_n[0]), np.exp(log_d[0])
    return {"ratio": sizes, "N": n, "D": d, "overhead": FLOP_PER_PARAM_TOKEN * n * d / flops - 1}


def _weights(training: Price | None, prefill: Price | None, decode: Price | None) -> tuple[float, float, float]:
    """Of a FLOP of training, of prompts and of writing."""
    given = {"training": training, "prefill": prefill, "decode": decode}
    if lacking := [name for name, price in given.items() if price is None]:
        if len(lacking) < len(given):
            raise PlanError(f"no price of {' and '.join(lacking)}", hint="give all of training, prefill and decode")
        return 1.0, 1.0, 1.0
    first, second, third = (price.a_flop for price in given.values() if price is not None)
    return first, second, third


_QUANTITIES = ("n_params", "n_tokens", "usual_n_params", "usual_n_tokens", "loss", "saving")

Target = Callable[[Law, Array], Array]
"""The loss (draws,) asked for, at draws of the constants."""


def _target(compute: str | float | None, loss: float | None) -> Target:
    if (compute is None) == (loss is None):
        raise PlanError("the loss is that of an optimal model of `compute`, or `loss`", hint="give one of them")
    if compute is not None:
        budget = np.array([parse_compute(compute)])
        return lambda law, draws: optimum(law, draws, budget).loss[:, 0]
    if not 0 < (wanted := float(loss or 0)) < math.inf:
        raise PlanError(f"loss = {loss!r} is no loss in nats per token", hint="a positive number, as in 2.1")
    return lambda _, draws: np.full(len(draws), wanted)


def _models(law: Law, draws: Array, target: Target, weighed: float) -> Array:
    """N, D of the cheapest model, of the one that is cheapest to train, their loss and the saving: (draws, 6)."""
    form, loss = (len(draws), 2), target(law, draws)
    log_n, log_d = cheapest(law, draws, np.stack([loss, loss], axis=1), np.broadcast_to([weighed, 0.0], form))
    n, d = np.exp(log_n), np.exp(log_d)
    costs = _cost(n, d, weighed)
    return np.stack([n[:, 0], d[:, 0], n[:, 1], d[:, 1], loss, 1 - costs[:, 0] / costs[:, 1]], axis=1)


def _cost(n: Array, d: Array, weighed: float) -> Array:
    """In FLOPs of training."""
    return n * (FLOP_PER_PARAM_TOKEN * d + FLOP_PER_PARAM_SERVED * weighed)


def _lifetime(n: float, d: float, served: float, weighed: float, price: float) -> Lifetime:
    cost = float(_cost(np.array(n), np.array(d), weighed)) * price
    return Lifetime(n, d, FLOP_PER_PARAM_TOKEN * n * d, FLOP_PER_PARAM_SERVED * n * served, cost)


def _pays_from(best: Lifetime, usual: Lifetime) -> float:
    """Tokens, weighed, at which both cost the same."""
    smaller = usual.n_params - best.n_params
    if smaller <= 0:
        return math.inf
    return (best.training - usual.training) / (FLOP_PER_PARAM_SERVED * smaller)
