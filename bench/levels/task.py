"""What every level computes, y = x + gelu(norm(x) W_in^T + b_in) W_out^T + b_out, and the tensors it is given."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-5
DEEP = 4  # hidden columns a column of the residual stream


class Weights(NamedTuple):
    """Of K models, the first axis, or of one, without it."""

    gain: Tensor  # (K, D)
    bias: Tensor  # (K, D)
    w_in: Tensor  # (K, F, D)
    b_in: Tensor  # (K, F)
    w_out: Tensor  # (K, D, F)
    b_out: Tensor  # (K, D)

    def of(self, model: int) -> Weights:
        """The weights of one model."""
        return Weights(*(each[model] for each in self))


def draw(models: int, rows: int, width: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Weights]:
    """x (K, M, D) and weights, always the same, products of about unit size."""
    generator, deep = torch.Generator().manual_seed(width), DEEP * width

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    x = 2 * normal(models, rows, width) + 0.5
    weights = Weights(
        1 + normal(models, width) / 4, normal(models, width) / 4,
        normal(models, deep, width) / width**0.5, normal(models, deep) / 4,
        normal(models, width, deep) / deep**0.5, normal(models, width) / 4,
    )  # fmt: skip
    return x.to(device, dtype), Weights(*(each.to(device, dtype) for each in weights))
