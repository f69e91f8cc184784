"""The launchers of the definitions: each op in plain torch, its gradients by autograd. Slow, and plain to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from isoflop.kernels import heads, reference
from isoflop.kernels.signatures import OPS, Chance
from isoflop.train.engine.network import Launchers

Given = Mapping[str, Tensor | None]
_OF_MIXTURE = [each.name for each in OPS["moe"].tensors if each.name not in ("scale", "residual")]


def launchers(z_loss: Tensor | None = None) -> Launchers:
    """Of K models, one after the other; ``z_loss`` (K,) is in the gradients of the loss, not in the loss."""
    return Launchers(
        embed=SimpleNamespace(forward=_embed, backward=_embed_backward),
        norm=SimpleNamespace(forward=_norm, backward=_norm_backward),
        qkv=SimpleNamespace(forward=_qkv, backward=_qkv_backward),
        attention=SimpleNamespace(forward=_attention, backward=_attention_backward),
        heads=heads,
        linear=SimpleNamespace(forward=reference.on_models(reference.linear), backward=_linear_backward),
        mlp=SimpleNamespace(forward=reference.on_models(reference.mlp), backward=_mlp_backward),
        hidden=SimpleNamespace(forward=_activation, backward=_activation_backward),
        cross_entropy=SimpleNamespace(forward=_loss, backward=partial(_loss_backward, z_loss)),
        scale=SimpleNamespace(forward=reference.on_models(reference.scale)),
        dropout=SimpleNamespace(forward=reference.on_models(reference.dropout)),
        moe=SimpleNamespace(forward=_mixture, backward=_mixture_backward),
    )


def _gradients(op: Callable[..., Any], dy: Tensor | tuple[Tensor, ...], given: Given, *fixed: Any) -> SimpleNamespace:
    """``d`` and the name of each tensor ``given``, in the order of ``op``: the gradient by it, None for None."""
    with torch.enable_grad():
        leaves = {name: None if each is None else each.detach().requires_grad_() for name, each in given.items()}
        y = reference.on_models(op)(*leaves.values(), *fixed)
        by = [leaf for leaf in leaves.values() if leaf is not None]
        found = iter(torch.autograd.grad(y, by, dy))
    return SimpleNamespace(**{f"d{name}": None if leaf is None else next(found) for name, leaf in leaves.items()})


def _embed(tokens: Tensor, table: Tensor, positions: Tensor | None = None) -> Tensor:
    y: Tensor = reference.on_models(reference.embed)(tokens, table, positions)
    return y


def _embed_backward(
    dy: Tensor, tokens: Tensor, *, n_vocab: int, n_positions: int | None, onto: Tensor | None
) -> SimpleNamespace:
    models, width = len(dy), dy.shape[-1]
    tables = {"token_table": dy.new_zeros(models, n_vocab, width)}
    positions = None if n_positions is None else dy.new_zeros(models, n_positions, width)

    def embed(table: Tensor, places: Tensor | None, tokens: Tensor) -> Tensor:
        return reference.embed(tokens, table, places)

    made = _gradients(embed, dy, tables | {"position_table": positions}, tokens)
    if onto is not None:
        made.dtoken_table += onto
    return made


def _norm(x: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    y: Tensor = reference.on_models(reference.norm)(x, gain, bias, kind=kind)
    mean = x.mean(-1) if kind == "layer" else None
    return y, x, mean, (x.var(-1, correction=0) if kind == "layer" else x.square().mean(-1)).add(1e-5).rsqrt()


def _norm_backward(
    dy: Tensor, total: Tensor, gain: Tensor, mean: Tensor | None, rstd: Tensor, dtotal: Tensor | None = None, *,
    has_bias: bool,
) -> SimpleNamespace:  # fmt: skip
    def norm(x: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        return reference.norm(x, gain, bias, kind="rms" if mean is None else "layer")

    bias = torch.zeros_like(gain) if has_bias else None
    made = _gradients(norm, dy, {"x": total, "gain": gain, "bias": bias})
    if dtotal is not None:
        made.dx += dtotal
    return made


def _qkv(x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None, **settings: Any) -> Any:
    _, _, mean, rstd = _norm(x, gain, shift, kind=settings["kind"])
    return *reference.on_models(reference.norm_qkv)(x, gain, shift, weight, bias, **settings), mean, rstd


def _qkv_backward(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    mean: Tensor | None, rstd: Tensor, dtotal: Tensor, *, has_bias: bool, base: float | None,
) -> SimpleNamespace:  # fmt: skip
    def project(*given: Tensor) -> tuple[Tensor, ...]:
        kind = "rms" if mean is None else "layer"
        return reference.norm_qkv(*given, kind=kind, n_head=dq.shape[2], n_kv_head=dk.shape[2], base=base)

    bias = weight.new_zeros(weight.shape[:2]) if has_bias else None
    given = {"x": x, "gain": gain, "shift": shift, "weight": weight, "bias": bias}
    made = _gradients(project, (dq, dk, dv), given)
    made.dx += dtotal
    return made


def _attention(q: Tensor, k: Tensor, v: Tensor, **settings: Any) -> tuple[Tensor, None]:
    op, of_models = _attending(len(q), q.shape[-1], **settings)
    return reference.on_models(op)(q, k, v, *of_models), None


def _attention_backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: None, **settings: Any
) -> tuple[Tensor, Tensor, Tensor]:
    op, of_models = _attending(len(q), q.shape[-1], **settings)
    made = _gradients(op, dy, {"q": q, "k": k, "v": v}, *of_models)
    return made.dq, made.dk, made.dv


def _attending(
    models: int, width: int, *, window: int | None, scale: Tensor | None = None, chance: Chance | None = None
) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """Attention of q, k, v and of what each model has of its own, (K, ...): its scale, and by what it drops weights."""
    scales = torch.full((models,), width**-0.5, dtype=torch.float64) if scale is None else scale

    def attention(q: Tensor, k: Tensor, v: Tensor, own: Tensor) -> Tensor:
        return reference.attention(q, k, v, window=window, scale=float(own))

    if chance is None:
        return attention, (scales,)

    def dropping(q: Tensor, k: Tensor, v: Tensor, own: Tensor, *by: Tensor) -> Tensor:
        *key, rate = by
        return reference.dropped_attention(q, k, v, *key, rate=rate, op=chance.op, window=window, scale=float(own))

    return dropping, (scales, chance.seed, chance.step, chance.start, chance.rate)


def _linear_backward(dy: Tensor, x: Tensor, weight: Tensor, *, has_bias: bool) -> SimpleNamespace:
    bias = weight.new_zeros(weight.shape[:2]) if has_bias else None
    return _gradients(reference.linear, dy, {"x": x, "weight": weight, "bias": bias})


def _mlp_backward(dy: Tensor, *given: Tensor | None, saved: Tensor, **settings: Any) -> SimpleNamespace:
    def mlp(*tensors: Tensor) -> Tensor:
        return reference.mlp(*tensors, **settings)

    names = ("x", "w_in", "b_in", "w_out", "b_out", "gain", "bias")
    return _gradients(mlp, dy, dict(zip(names, given, strict=True)))


def _mixture(*given: Tensor | None, **settings: Any) -> tuple[Tensor, Mapping[str, Any]]:
    y, _, _ = reference.on_models(reference.moe)(*given, **settings)
    return y, settings


def _mixture_backward(
    dy: Tensor, *given: Tensor | None, mixture: tuple[Tensor, Mapping[str, Any]], kind: str
) -> SimpleNamespace:
    *leaves, scale, dbalance = given
    settings = mixture[1]

    def moe(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        y, balance, _ = reference.moe(*tensors, **settings)
        return y, balance

    upstream = dy, torch.zeros(len(dy), dtype=dy.dtype) if dbalance is None else dbalance
    return _gradients(moe, upstream, dict(zip(_OF_MIXTURE, leaves, strict=True)), scale)


def _activation(z: Tensor, *, kind: str) -> Tensor:
    return reference.activation(z, kind=kind)


def _activation_backward(da: Tensor, z: Tensor, *, kind: str) -> Tensor:
    def activation(x: Tensor) -> Tensor:
        return reference.activation(x, kind=kind)

    dz: Tensor = _gradients(activation, da, {"z": z}).dz
    return dz


def _loss(x: Tensor, weight: Tensor, targets: Tensor, *, gradient: bool) -> SimpleNamespace:
    losses = reference.on_models(reference.linear_cross_entropy)(x, weight, targets, reduction="none")
    return SimpleNamespace(entropy=losses.sum(1) / (targets != -100).sum(1), losses=losses, dx=None)


def _loss_backward(
    z_loss: Tensor | None, x: Tensor, weight: Tensor, targets: Tensor, loss: SimpleNamespace
) -> SimpleNamespace:
    def mean_loss(x: Tensor, weight: Tensor, targets: Tensor, zeta: Tensor) -> Tensor:
        return reference.linear_cross_entropy(x, weight, targets, z_loss=float(zeta))

    models = len(x)
    zeta = torch.zeros(models) if z_loss is None else z_loss
    return _gradients(mean_loss, torch.ones(models, dtype=x.dtype), {"x": x, "weight": weight}, targets, zeta)
