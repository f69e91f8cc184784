"""Held-out loss with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.train.language_model import LanguageModel


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean loss in nats/token over ``n_tokens`` held-out tokens, and how far from that of endless text it may be.

    The standard error counts that windows of one document are alike; of few documents it is still too small.
    """

    mean: float
    standard_error: float
    n_tokens: int


def held_out_loss(losses: Tensor) -> HeldOutLoss:
    """The mean of the losses (windows, n_ctx), nats, of every token of some windows, in the order of the text."""
    per_window = losses.mean(dim=1).double()
    return HeldOutLoss(float(per_window.mean()), standard_error(per_window), losses.numel())


def standard_error(values: Tensor) -> float:
    """Of the mean of ``values`` (n,) float64, neighbours among which may be alike; NaN of one alone.

    Their variance and its covariances at all lags, as far as sums of two that follow each other are positive, none
    counting for more than one before it (Geyer 1992, section 3.3); never less than that of independent values.
    """
    n = len(values)
    if n == 1:
        return math.nan
    spectrum = torch.fft.rfft(values - values.mean(), 2 * n)
    covariances = torch.fft.irfft(spectrum.abs().square(), 2 * n)[:n] / n
    pairs = covariances[: n // 2 * 2].reshape(-1, 2).sum(dim=1)
    alike = torch.where((pairs > 0).cumprod(dim=0).bool(), pairs.cummin(dim=0).values, 0.0).sum()
    return math.sqrt(max(float(values.var()), float(2 * alike - covariances[0])) / n)


@torch.no_grad()
def evaluate(model: LanguageModel, windows: Tensor, *, batch: int = 64) -> HeldOutLoss:
    """Loss of ``model`` on ``windows`` (n, n_ctx + 1) int64: every target once, with the context its window gives."""
    training = model.training
    model.eval()
    losses = torch.cat([model(part[:, :-1], part[:, 1:], reduction="none") for part in torch.split(windows, batch)])
    model.train(training)
    return held_out_loss(losses)
