"""The surface of a law over N and D as data: curves of one loss, curves of one budget, and how flat the optimum is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.isoloss import log_tokens
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, losses, optimum
from isoflop.laws.presets import Preset
from isoflop.planning.basis import with_constants
from isoflop.planning.compute import parse_compute

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_HALVINGS = 60
_FARTHEST = 1e6
"""Times the optimal N, and its inverse: beyond them a size counts as unlimited."""


def iso_loss(law: str | Fit | Preset, values: Iterable[float], n_params: Iterable[float]) -> dict[str, Array]:
    """Curves of equal loss: the D and the C that bring each N to each loss.

    Args:
        law: a fit of a law in N and D, or the name of a published set.
        values: losses, nats per token.
        n_params: sizes N.

    Returns:
        Columns L, N, D and C (losses x sizes); D and C infinite where the size never gives the loss.

    Raises:
        PlanError: a number that is not positive, or a law that does not trade N against D.
        LawError: no published set of that name.
    """
    basis = with_constants(law)
    loss, n = (_positive(name, given) for name, given in (("loss", values), ("N", n_params)))
    loss, n = (np.ascontiguousarray(each) for each in np.broadcast_arrays(loss[:, None], n))
    d = np.exp(log_tokens(basis.law, basis.params, np.log(n)[None], loss[None])[0])
    return {"L": loss, "N": n, "D": d, "C": FLOP_PER_PARAM_TOKEN * n * d}


def iso_flop(law: str | Fit | Preset, computes: Iterable[str | float], ratios: Iterable[float]) -> dict[str, Array]:
    """Curves of equal compute: the loss of sizes that are ``ratios`` times the optimal N of each budget.

    Returns:
        Columns C, ratio, N, D and L (budgets x ratios).

    Raises as :func:`iso_loss` does.
    """
    basis = with_constants(law)
    budgets, ratio = np.array([parse_compute(each) for each in computes]), _positive("ratio", ratios)
    n = optimum(basis.law, basis.params, budgets).n_params[0][:, None] * ratio
    d = budgets[:, None] / (FLOP_PER_PARAM_TOKEN * n)
    loss = losses(basis.law, basis.params, np.log(n)[None], np.log(d)[None])[0]
    c, ratio = (np.ascontiguousarray(each) for each in np.broadcast_arrays(budgets[:, None], ratio))
    return {"C": c, "ratio": ratio, "N": n, "D": d, "L": loss}


def tolerance(law: str | Fit | Preset, compute: str | float, overhead: float = 0.2) -> tuple[float, float]:
    """The smallest and the largest N, over the optimal one, that reach its loss for ``overhead`` more compute.

    Kaplan 2020 (appendix B.4) finds 0.6 and 2.2 for 0.2. An end is 0 or infinite where no size is too far.

    Raises as :func:`iso_loss` does.
    """
    basis, flops = with_constants(law), parse_compute(compute)
    if not 0 < overhead < math.inf:
        raise PlanError(f"overhead = {overhead!r} of compute", hint="a positive share, as in 0.2")
    at = optimum(basis.law, basis.params, np.array([flops]))
    most = math.log(flops / FLOP_PER_PARAM_TOKEN * (1 + overhead))

    def fits(log_ratio: float) -> bool:
        log_n = np.log(at.n_params) + log_ratio
        return bool(log_n[0, 0] + log_tokens(basis.law, basis.params, log_n, at.loss)[0, 0] <= most)

    low, high = (_edge(fits, side * math.log(_FARTHEST)) for side in (-1, 1))
    return (0.0 if low is None else math.exp(low)), (math.inf if high is None else math.exp(high))


def _edge(fits: Callable[[float], bool], far: float) -> float | None:
    """Between 0, which fits, and ``far``: where that ends; None where it does not."""
    if fits(far):
        return None
    near = 0.0
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if fits(middle) else (near, middle)
    return near


def _positive(name: str, values: Iterable[float]) -> Array:
    array = np.array(list(values), dtype=np.float64)
    if not (np.isfinite(array) & (array > 0)).all():
        raise PlanError(f"{name} of a curve holds {array.tolist()}", hint="positive numbers")
    return array
