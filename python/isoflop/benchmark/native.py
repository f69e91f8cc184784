"""The ops in C++ that a CPU has, as the benchmark runs them: cases of the same work and definitions as the kernels'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from isoflop.benchmark.case import Case
from isoflop.benchmark.cases import CASES, MLP, qkv_settings
from isoflop.benchmark.sizes import Size, Tensors
from isoflop.kernels.native import attention, attention_backward, cross_entropy, embed, hidden, linear, mlp, norm, qkv
from isoflop.kernels.native.heads import split_projection

_Backward = Callable[[Tensors, Any, tuple[Tensor, ...], Any], Any]


def _embed_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    counts = {"n_vocab": tensors["token_table"].shape[1], "n_positions": tensors["position_table"].shape[1]}
    return embed.backward(grads[0], tensors["tokens"], out=out, **counts)


def _loss_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    """The gradients come from a forward pass of their own, as a training step has them."""
    loss = cross_entropy.forward(
        *tensors.values(), share=grads[0] / made.total, gradient=True, out=None if out is None else out[-1]
    )
    return loss.dx, loss.dweight, loss


def _norm_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    _, total, mean, rstd = made
    dx, dgain, dbias = gradients = norm.backward(
        grads[0], total, tensors["gain"], mean, rstd, grads[1], has_bias=True, out=None if out is None else out[-1]
    )
    return dx, dx, dgain, dbias, gradients


def _qkv_forward(tensors: Tensors, out: Any) -> Any:
    return qkv.forward(*tensors.values(), out=out, **qkv_settings(Size._make((*tensors["x"].shape, 0))))


def _qkv_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    """From gradients beside each other in rows, as those of attention are: the first call lays them so."""
    x, gain, shift, weight, _ = tensors.values()
    settings = qkv_settings(Size._make((*x.shape, 0)))
    of_products, of_norm, laid = (None, None, _side_by_side(grads)) if out is None else out[-3:]
    dq, dk, dv = laid
    products = qkv.product_gradients(
        dq, dk, dv, x, gain, shift, weight, made.mean, made.rstd, has_bias=True, base=settings["base"], out=of_products
    )
    norms = norm.backward(
        products.dn.flatten(1, 2), x.flatten(1, 2), gain, made.mean.flatten(1), made.rstd.flatten(1), has_bias=True,
        out=of_norm,
    )  # fmt: skip
    return norms.dx.view_as(x), norms.dgain, norms.dbias, products.dweight, products.dbias, products, norms, laid


def _side_by_side(grads: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    rows = torch.cat([each.transpose(2, 3).flatten(3) for each in grads], dim=-1)
    return split_projection(rows, grads[0].shape[2], grads[1].shape[2])


def _made(op: str, forward: Callable[[Tensors, Any], Any], backward: _Backward, *, at_once: bool = False) -> Case:
    made = replace(CASES[op], forward=forward, backward=backward, dtypes=(torch.float32,), at_once=at_once)
    return replace(made, table=None, longest={})


NATIVE: dict[str, Case] = {
    case.op: case
    for case in (
        _made("embed", lambda t, out: embed.forward(*t.values(), out=out), _embed_backward),
        _made(
            "linear_cross_entropy",
            lambda t, out: cross_entropy.forward(*t.values(), out=out),
            _loss_backward,
            at_once=True,
        ),
        _made(
            "add_norm",
            lambda t, out: norm.forward(t["x"], t["gain"], t["bias"], t["residual"], kind="layer", out=out),
            _norm_backward,
        ),
        _made(
            "linear",
            lambda t, out: linear.forward(*t.values(), out=out),
            lambda t, made, grads, out: linear.backward(grads[0], t["x"], t["weight"], has_bias=True, out=out),
        ),
        _made("norm_qkv", _qkv_forward, _qkv_backward),
        _made(
            "attention",
            lambda t, out: attention.forward(*t.values(), out=out),
            lambda t, made, grads, out: attention_backward.backward(grads[0], *t.values(), *made, out=out),
        ),
        _made(
            "activation",
            lambda t, out: hidden.forward(*t.values(), kind="gelu", out=out),
            lambda t, made, grads, out: (
                hidden.backward(grads[0], t["x"], kind="gelu", out=None if out is None else out[0]),
            ),
        ),
        _made(
            "mlp",
            lambda t, out: mlp.forward(*t.values(), **MLP, out=out),
            lambda t, made, grads, out: mlp.backward(grads[0], *t.values(), **MLP, out=out),
        ),
    )
}
"""By op, in float32."""


def in_cpp(op: str, dtype: torch.dtype, device: torch.device) -> Case | None:
    """The op in C++, where ``device`` is a CPU and there is one in ``dtype``."""
    case = NATIVE.get(op) if device.type == "cpu" else None
    return case if case is not None and dtype in case.dtypes else None
