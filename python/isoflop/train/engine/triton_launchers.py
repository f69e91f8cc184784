"""The launchers of the kernels in Triton, as the engine calls them."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from isoflop.kernels import (
    attention,
    attention_backward,
    cross_entropy,
    cross_entropy_backward,
    dropout,
    embed,
    embed_backward,
    heads,
    hidden,
    linear,
    linear_backward,
    mlp,
    mlp_backward,
    moe,
    moe_backward,
    norm,
    norm_backward,
    qkv,
    qkv_backward,
)
from isoflop.kernels.configurations import chip_of, folder, library_past, table
from isoflop.kernels.cross_entropy_join import Gradients, Loss
from isoflop.train.engine.network import Launchers

_OF_WEIGHTS, _OF_NORM = ("dweight", "dbias"), ("dgain", "dbias")
OWN = {
    "qkv": ("q", "k", "v", "mean", "rstd"),
    "proj backward": _OF_WEIGHTS,
    "fc backward": _OF_WEIGHTS,
    "mlp proj backward": _OF_WEIGHTS,
    "mlp backward": ("dw_in", "db_in", "dw_out", "db_out", "dgain", "dbias"),
    "experts backward": (
        *("of_router.dweight", "dw_in", "dw_out", "db_in", "db_out"),
        *("of_shared.dw_out", "of_shared.db_out", *(f"of_shared.inner.{name}" for name in _OF_WEIGHTS)),
    ),
    "norm2 backward": _OF_NORM,
    "qkv backward": (*(f"products.{name}" for name in _OF_WEIGHTS), *(f"norms.{name}" for name in _OF_NORM)),
}
"""What blocks have each of their own, of the results of places that they share: gradients of parameters."""


def launchers(share: Tensor, z_loss: Tensor | float = 0.0) -> Launchers:
    """The gradient of the mean of a micro-batch is weighed by its ``share`` (K,) float32 of the batch.

    ``z_loss`` (K,) float64.
    """
    return Launchers(
        embed=SimpleNamespace(forward=embed.forward, backward=embed_backward.backward),
        norm=SimpleNamespace(forward=norm.forward, backward=norm_backward.backward),
        qkv=SimpleNamespace(forward=qkv.forward, backward=qkv_backward.backward),
        attention=SimpleNamespace(
            forward=partial(attention.forward, backend="triton"), backward=attention_backward.backward
        ),
        heads=heads,
        linear=SimpleNamespace(forward=linear.forward, backward=linear_backward.backward),
        mlp=SimpleNamespace(forward=mlp.forward, backward=_mlp_backward),
        hidden=hidden,
        cross_entropy=SimpleNamespace(forward=partial(_loss, z_loss), backward=partial(_loss_backward, share, z_loss)),
        scale=SimpleNamespace(forward=_scaled),
        dropout=dropout,
        moe=SimpleNamespace(forward=moe.forward, backward=moe_backward.backward),
    )


def _mlp_backward(*given: Tensor, saved: Tensor, **settings: Any) -> mlp_backward.Gradients:
    """Everything is computed again from the rows: nothing of ``saved`` is read."""
    return mlp_backward.backward(*given, **settings)


def _loss(
    z_loss: Tensor | float, x: Tensor, weight: Tensor, targets: Tensor, *, gradient: bool, out: Loss | None = None
) -> Loss:
    one_pass = gradient and cross_entropy.gives_gradient(x, weight)
    return cross_entropy.forward(x, weight, targets, gradient=one_pass, z_loss=z_loss, out=out)


def _loss_backward(
    share: Tensor, z_loss: Tensor | float, x: Tensor, weight: Tensor, targets: Tensor, loss: Loss, **settings: Any
) -> Gradients:
    return cross_entropy_backward.backward(
        x, weight, targets, loss.lse, loss.total, dmean=share, want_dx=loss.dx is None, z_loss=z_loss, **settings
    )


def _scaled(x: Tensor, *, factor: Tensor, out: Tensor | None = None) -> Tensor:
    """``x`` (K, M, D) times ``factor`` (K,) float64."""
    return torch.mul(x, factor[:, None, None], out=torch.empty_like(x) if out is None else out)


def holds_mlp(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the MLP in one kernel is for rows so wide: its tables have a row, and torch's products are no faster."""
    chip = chip_of(device)
    return width <= library_past("mlp") and all(
        any(row.serves(chip, 8 * dtype.itemsize, width) for row in table(op, chip, user=folder()))
        for op in ("mlp", "mlp_backward_rows", "mlp_backward_columns")
    )
