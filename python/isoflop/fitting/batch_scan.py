"""The critical batch size from batch scans: a hyperbola at each loss, then a power law of the loss.

McCandlish 2018 (arXiv 1812.06162) section 2 and Kaplan 2020 (arXiv 2001.08361) eq 5.1 to 5.3: to reach a loss L at
batch size B takes S steps and E = B S tokens with (S/S_min - 1)(E/E_min - 1) = 1, that is S = S_min (1 + B_crit/B) with
B_crit = E_min/S_min, and B_crit(L) = B_star/L**(1/alpha_B).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.columns import checked, read_columns
from isoflop.fitting.regression import PowerFit, fit_power
from isoflop.fitting.residuals import least_residuals

Array = NDArray[np.float64]

_FEWEST = 3
_SPAN = 0.1
"""Steps (tokens) must fall (rise) by this share over the scan for both ends of the hyperbola to show."""


@dataclass(frozen=True)
class Hyperbola:
    """The trade-off at one loss.

    Attributes:
        loss: the level, in nats per token.
        S_min: steps at unlimited batch size.
        E_min: tokens at batch size towards zero.
        B_crit: E_min/S_min, in tokens.
        sigma: standard error of ln B_crit; NaN for a scan of two batch sizes.
        rms: of ln S about the hyperbola.
    """

    loss: float
    S_min: float
    E_min: float
    B_crit: float
    sigma: float
    rms: float


@dataclass(frozen=True)
class CriticalBatch:
    """B_crit(L) = B_star/L**(1/alpha_B), tokens of nats per token.

    Attributes:
        B_star: tokens, at one nat per token.
        alpha_B: its exponent.
        levels: the hyperbolas that it was fitted to; empty for published constants.
        law: the straight line through them, x being the loss; None for published constants.
    """

    B_star: float
    alpha_B: float
    levels: tuple[Hyperbola, ...] = ()
    law: PowerFit | None = None

    def __call__(self, loss: ArrayLike) -> Array:
        """B_crit in tokens at losses in nats per token."""
        return np.asarray(self.B_star / np.asarray(loss, dtype=np.float64) ** (1 / self.alpha_B))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Of alpha_B.

        Raises:
            FitError: these are constants, not a fit; or the interval of 1/alpha_B holds zero.
        """
        if self.law is None:
            raise FitError("published constants have no interval", hint="critical_batch(scan, run) fits them")
        low, high = self.law.interval(level)
        if high >= 0:
            raise FitError(f"1/alpha_B lies in ({-high:.3g}, {-low:.3g}): B_crit may not depend on the loss at all")
        return -1 / low, -1 / high


def critical_batch(scan: object, run: ArrayLike, levels: ArrayLike) -> CriticalBatch:
    """B_crit(L) from training curves of one model at several batch sizes.

    Args:
        scan: columns S (steps so far), B (batch size in tokens) and L (nats per token), one row a point of a curve.
        run: label of each row's run, shape (rows,).
        levels: losses to be reached, three or more, each passed by three or more batch sizes.

    Raises:
        FitError: a column is missing or has an impossible value; a run has two batch sizes.
        NotIdentifiable: a level is reached by fewer than three batch sizes, or its scan lies on one side of B_crit;
            fewer than three levels.
    """
    columns = read_columns(scan, "S", "B", "L")
    targets = checked({"levels": levels})["levels"]
    if np.unique(targets).size < _FEWEST:
        raise NotIdentifiable(f"{targets.size} levels; B_crit(L) needs {_FEWEST}", hint="add losses to be reached")
    curves = []
    labels = np.asarray([str(label) for label in np.asarray(run).tolist()])
    if labels.shape != columns["S"].shape:
        raise FitError(f"run has {labels.size} labels, the scan has {columns['S'].size} rows")
    for label in np.unique(labels):
        mine = labels == label
        batch = np.unique(columns["B"][mine])
        if batch.size > 1:
            raise FitError(f"run {label}: batch size changes from {batch[0]:g} to {batch[-1]:g} within the run")
        curves.append((float(batch[0]), steps_to_loss(columns["S"][mine], columns["L"][mine], targets)))
    sizes, steps = np.array([batch for batch, _ in curves]), np.stack([reached for _, reached in curves])
    found = []
    for i, level in enumerate(targets.tolist()):
        reached = np.isfinite(steps[:, i])
        found.append(fit_hyperbola(level, sizes[reached], steps[reached, i]))
    sigma = np.array([level.sigma for level in found])
    known = bool(np.isfinite(sigma).all() and sigma.min() > 0)
    law = fit_power(targets, [level.B_crit for level in found], sigma=sigma if known else None)
    if law.exponent >= 0:
        raise NotIdentifiable(
            f"B_crit does not rise as the loss falls: it goes as L**{law.exponent:.2f} over L = {targets.min():.3g} "
            f"to {targets.max():.3g}",
            hint="levels further apart, or batch sizes on both sides of B_crit at every level",
        )
    return CriticalBatch(law.coefficient, -1 / law.exponent, tuple(found), law)


def steps_to_loss(steps: ArrayLike, loss: ArrayLike, levels: ArrayLike) -> Array:
    """Steps at which a curve passes each level, log-log between its points; infinite where it never does.

    Noise is smoothed by the nearest curve that never rises (isotonic regression): the first noisy point below a level
    would come too early.
    """
    from scipy.optimize import isotonic_regression

    columns = checked({"S": steps, "L": loss})
    order = np.argsort(columns["S"], kind="stable")
    log_s, log_l = np.log(columns["S"][order]), np.log(columns["L"][order])
    falling = isotonic_regression(log_l, increasing=False)
    blocks = falling.blocks
    middle = np.array([log_s[a:b].mean() for a, b in pairwise(blocks.tolist())])
    asked = np.log(np.asarray(levels, dtype=np.float64))
    found = np.interp(-asked, -falling.x[blocks[:-1]], middle, left=np.inf, right=np.inf)
    return np.asarray(np.exp(found))


def fit_hyperbola(loss: float, batch: ArrayLike, steps: ArrayLike) -> Hyperbola:
    """S = S_min (1 + B_crit/B) through steps and batch sizes (tokens) that reach one loss; least squares of ln S.

    Raises:
        NotIdentifiable: fewer than three batch sizes, or all of them on one side of B_crit.
    """
    columns = checked({"B": batch, "S": steps}) if np.size(batch) else {"B": np.empty(0), "S": np.empty(0)}
    b, s = columns["B"], columns["S"]
    distinct = np.unique(b).size
    if distinct < _FEWEST:
        raise NotIdentifiable(
            f"L = {loss:g} is reached at {distinct} batch sizes; the hyperbola needs {_FEWEST}",
            hint="a higher loss, longer runs, or runs at more batch sizes",
        )
    order = np.argsort(b)
    tokens = b * s
    if s[order[-1]] > s[order[0]] * (1 - _SPAN):
        raise NotIdentifiable(
            f"L = {loss:g}: steps hardly fall from B = {b.min():.3g} to {b.max():.3g}: all batches lie above B_crit",
            hint=f"add a run at B = {b.min() / 4:.3g} tokens",
        )
    if tokens[order[-1]] < tokens[order[0]] * (1 + _SPAN):
        raise NotIdentifiable(
            f"L = {loss:g}: tokens hardly rise from B = {b.min():.3g} to {b.max():.3g}: all batches lie below B_crit",
            hint=f"add a run at B = {b.max() * 4:.3g} tokens",
        )
    middle = float(np.exp(np.mean(np.log(b))))
    found = least_residuals(
        lambda p: (
            np.log(p["S_min"] * (1 + p["B_crit"] / b)) - np.log(s),
            np.array([np.full(b.size, 1 / p["S_min"]), 1 / (b + p["B_crit"])]),
        ),
        [{"S_min": float(s.min()) / 2, "B_crit": middle * factor} for factor in (0.1, 1.0, 10.0)],
    )
    s_min, b_crit = found.params["S_min"], found.params["B_crit"]
    return Hyperbola(loss, s_min, s_min * b_crit, b_crit, float(np.sqrt(found.covariance[1, 1])), found.rms)
