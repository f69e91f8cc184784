"""Every op that is run: how its kernels are called, what its definition takes, and what it must compute and move.

FLOPs and bytes are those that the modules of the kernels state of themselves, for all models of a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from isoflop.benchmark.case import Case, Work, both
from isoflop.benchmark.mixtures import MIXTURES
from isoflop.benchmark.sizes import Size, Tensors
from isoflop.benchmark.updates import UPDATES
from isoflop.benchmark.vocabulary import VOCABULARY
from isoflop.kernels import (
    attention,
    attention_backward,
    block,
    block_backward,
    hidden,
    linear,
    linear_backward,
    mlp,
    mlp_backward,
    norm,
    norm_backward,
    qkv,
    qkv_backward,
    reference,
)
from isoflop.kernels.signatures import OPS


def _forward(module: Any, **settings: Any) -> Callable[[Tensors, Any], Any]:
    return lambda tensors, out: module.forward(*tensors.values(), out=out, **settings)


def _norm_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    elements = size.rows * size.width
    return both(
        tuple(each * elements for each in norm.FLOPS["layer"]),
        norm.least_bytes(size.rows, size.width, itemsize, add=True),
        size.models,
    )


def _norm_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    _, total, mean, rstd = made
    dx, dgain, dbias, *_ = gradients = norm_backward.backward(
        grads[0], total, tensors["gain"], mean, rstd, grads[1], has_bias=True, out=None if out is None else out[-1]
    )
    return dx, dx, dgain, dbias, gradients


def _qkv_outputs(size: Size) -> int:
    return 3 * size.width


def qkv_settings(size: Size) -> dict[str, Any]:
    """Of a layer norm and as many key heads as heads; rotary positions where heads have pairs."""
    heads = size.axes["H"]
    return {"kind": "layer", "n_head": heads, "n_kv_head": heads, "base": None if size.d_head % 2 else 10_000.0}


def _qkv_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    outputs, turned = _qkv_outputs(size), None if size.d_head % 2 else size.d_head
    forward, backward = qkv.least_bytes(
        size.rows, size.seq, size.width, outputs, itemsize, layer=True, shift=True, bias=True, turned=turned
    )
    of_norm = norm.least_bytes(size.rows, size.width, itemsize, add=False)[1]
    return both(qkv.flops(size.rows, size.width, outputs), (forward, backward + of_norm), size.models)


def _qkv_forward(tensors: Tensors, out: Any) -> Any:
    size = _size_of(tensors)
    return qkv.forward(*tensors.values(), out=out, **qkv_settings(size))


def _size_of(tensors: Tensors) -> Size:
    return Size._make((*tensors["x"].shape, 0))


def _qkv_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    settings = qkv_settings(_size_of(tensors))
    dq, dk, dv = grads
    x, gain, shift, weight = (tensors[name] for name in ("x", "gain", "shift", "weight"))
    norms = made.mean, made.rstd
    return qkv_backward.backward(
        dq, dk, dv, x, gain, shift, weight, *norms, has_bias=True, base=settings["base"], out=out
    )


def _activation_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.axes["F"]
    flops = float(hidden.FLOPS * math.prod(at))
    return both((flops, flops), hidden.least_bytes(*at, itemsize, kind="gelu"), size.models)


MLP: dict[str, Any] = {"kind": "gelu", "norm": "layer", "residual": True}
_IN_MLP = ("x", "w_in", "b_in", "w_out", "b_out", "gain", "bias")


def _mlp_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.width, size.axes["F"]
    return both(mlp.flops(*at, kind="gelu"), mlp.least_bytes(*at, itemsize, kind="gelu"), size.models)


_IN_BLOCK = tuple(argument.name for argument in OPS["block"].tensors)


def _block_settings(tensors: Tensors) -> dict[str, Any]:
    return _block_at(_size_of(tensors))


def _block_at(size: Size) -> dict[str, Any]:
    heads = size.axes["H"]
    return {"n_head": heads, "n_kv_head": heads, "kind": "gelu", "norm": "layer"}


def _block_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    axes = size.axes
    at = size.batch, size.seq, size.width, axes["F"], size.d_head
    heads = {"n_head": axes["H"], "n_kv_head": axes["H"]}
    moved = block.least_bytes(*at, itemsize, **heads, kind="gelu")
    return both(block.flops(*at, **heads, kind="gelu"), moved, size.models)


def _block_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    kept = None if out is None else out[-1]
    gradients = block_backward.backward(grads[0], made[1], *tensors.values(), **_block_settings(tensors), out=kept)
    named = gradients.named()
    return (*(named[f"d{name}"] for name in _IN_BLOCK), gradients)


def _attention_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    return both(attention.flops(size.axes), attention.minimum_bytes(size.axes, itemsize))


CASES: dict[str, Case] = {
    case.op: case
    for case in (
        *VOCABULARY,
        Case(
            "add_norm",
            lambda t, out: norm.forward(t["x"], t["gain"], t["bias"], t["residual"], kind="layer", out=out),
            lambda made: made[:2],
            _norm_work,
            _norm_backward,
            ("x", "residual", "gain", "bias"),
            matrix=False,
            settings=lambda size: {"kind": "layer"},
        ),
        Case(
            "linear",
            _forward(linear),
            lambda made: (made,),
            lambda size, itemsize: both(
                linear.flops(size.rows, size.width, size.width),
                linear.least_bytes(size.rows, size.width, size.width, itemsize, bias=True, residual=True),
                size.models,
            ),
            lambda t, made, grads, out: linear_backward.backward(grads[0], t["x"], t["weight"], has_bias=True, out=out),
            ("x", "weight", "bias"),
        ),
        Case(
            "norm_qkv",
            _qkv_forward,
            lambda made: made[:3],
            _qkv_work,
            _qkv_backward,
            ("x", "gain", "shift", "weight", "bias"),
            settings=qkv_settings,
            axes=lambda size: {"O": _qkv_outputs(size)},
        ),
        Case(
            "attention",
            _forward(attention, backend="triton"),
            lambda made: made[:1],
            _attention_work,
            lambda t, made, grads, out: attention_backward.backward(grads[0], *t.values(), *made, out=out),
            ("q", "k", "v"),
        ),
        Case(
            "activation",
            _forward(hidden, kind="gelu"),
            lambda made: (made,),
            _activation_work,
            lambda t, made, grads, out: (
                hidden.backward(grads[0], t["x"], kind="gelu", out=None if out is None else out[0]),
            ),
            ("x",),
            matrix=False,
            settings=lambda size: {"kind": "gelu"},
            axes=lambda size: {"I": size.axes["F"]},
        ),
        Case(
            "mlp",
            _forward(mlp, **MLP),
            lambda made: (made,),
            _mlp_work,
            lambda t, made, grads, out: mlp_backward.backward(grads[0], *t.values(), **MLP, out=out),
            _IN_MLP,
            settings=lambda size: MLP,
            axes=lambda size: {"I": size.axes["F"]},
            table="mlp",
        ),
        Case(
            "block",
            lambda t, out: block.forward(*t.values(), **_block_settings(t), out=out),
            lambda made: made[:1],
            _block_work,
            _block_backward,
            _IN_BLOCK,
            settings=_block_at,
            axes=lambda size: {"I": size.axes["F"]},
            definition=lambda *tensors, **settings: reference.block(*tensors, **settings)[:1],
            table="block",
            longest=block.LONGEST,
        ),
        *MIXTURES,
        *UPDATES,
    )
}
"""By op."""
