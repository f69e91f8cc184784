"""Held-out loss with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.train.language_model import LanguageModel


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean loss in nats/token over ``n_tokens`` held-out tokens; the standard error treats windows as independent."""

    mean: float
    standard_error: float
    n_tokens: int


def held_out_loss(losses: Tensor) -> HeldOutLoss:
    """The mean of the losses (windows, n_ctx), nats, of every token of some windows."""
    per_window = losses.mean(dim=1).double()
    n = len(per_window)
    spread = float(per_window.std()) / math.sqrt(n) if n > 1 else math.nan
    return HeldOutLoss(float(per_window.mean()), spread, losses.numel())


@torch.no_grad()
def evaluate(model: LanguageModel, windows: Tensor, *, batch: int = 64) -> HeldOutLoss:
    """Loss of ``model`` on ``windows`` (n, n_ctx + 1) int64: every target once, with the context its window gives."""
    training = model.training
    model.eval()
    losses = torch.cat([model(part[:, :-1], part[:, 1:], reduction="none") for part in torch.split(windows, batch)])
    model.train(training)
    return held_out_loss(losses)
