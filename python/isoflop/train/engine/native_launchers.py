"""The launchers of the ops in C++, as the engine calls them."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isoflop.kernels.native import (
    attention,
    attention_backward,
    cross_entropy,
    dropout,
    embed,
    heads,
    hidden,
    linear,
    mlp,
    moe,
    norm,
    qkv,
    scale,
)
from isoflop.train.engine.network import Launchers


def launchers(share: Tensor | None = None, z_loss: Tensor | float = 0.0, *, saves: bool = False) -> Launchers:
    """``share`` (K,) float32: one over the positions of a batch that have a loss, those of all parts; None in no part.

    A part's mean is then what it adds to the mean of the batch. ``z_loss`` (K,) float64. ``saves``: whether an MLP,
    where tiles multiply, keeps what it makes between its matrices for the backward pass.
    """
    loss = partial(cross_entropy.forward, share=share, z_loss=z_loss)
    return Launchers(
        embed=SimpleNamespace(forward=embed.forward, backward=_embed_backward),
        norm=norm,
        qkv=SimpleNamespace(forward=qkv.forward, backward=_qkv_backward),
        attention=SimpleNamespace(forward=attention.forward, backward=attention_backward.backward),
        heads=heads,
        linear=linear,
        mlp=SimpleNamespace(forward=mlp.forward_saving if saves else mlp.forward, backward=_mlp_backward),
        hidden=hidden,
        cross_entropy=SimpleNamespace(forward=loss, backward=_loss_backward),
        scale=scale,
        dropout=dropout,
        moe=moe,
    )


def _embed_backward(
    dy: Tensor, tokens: Tensor, *, n_vocab: int, n_positions: int | None, onto: Tensor | None
) -> embed.Gradients:
    """With ``onto`` its gradient is added to there: over parts, the two can only be added up in one tensor."""
    if onto is None:
        return embed.backward(dy, tokens, n_vocab=n_vocab, n_positions=n_positions)
    positions = None if n_positions is None else torch.empty(len(dy), n_positions, dy.shape[-1])
    out = embed.Gradients(onto, positions)
    return embed.backward(dy, tokens, n_vocab=n_vocab, n_positions=n_positions, onto=onto, out=out)


class _OfProjection(NamedTuple):
    dx: Tensor
    dgain: Tensor
    dshift: Tensor | None
    dweight: Tensor
    dbias: Tensor | None


def _qkv_backward(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    mean: Tensor | None, rstd: Tensor, dtotal: Tensor, *, has_bias: bool, base: float | None,
) -> _OfProjection:  # fmt: skip
    made = qkv.product_gradients(
        dq, dk, dv, x, gain, shift, weight, mean, rstd, has_bias=has_bias, base=base
    )  # fmt: skip
    of_norm = norm.backward(
        made.dn.flatten(1, 2), x.flatten(1, 2), gain, None if mean is None else mean.flatten(1), rstd.flatten(1),
        dtotal.flatten(1, 2), has_bias=shift is not None,
    )  # fmt: skip
    return _OfProjection(of_norm.dx.view_as(x), of_norm.dgain, of_norm.dbias, made.dweight, made.dbias)


def _mlp_backward(*given: Any, saved: mlp.Saving | Tensor, **settings: Any) -> mlp.Gradients:
    return mlp.backward(*given, saved=saved.saved if isinstance(saved, mlp.Saving) else None, **settings)


def _loss_backward(x: Tensor, weight: Tensor, targets: Tensor, loss: cross_entropy.Loss) -> cross_entropy.Loss:
    """The forward pass has brought the gradients of x and of the weight along."""
    return loss
