"""Every op that is run: how its kernels are called, what its definition takes, and what it must compute and move.

FLOPs and bytes are those that the modules of the kernels state of themselves, for all models of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isoflop.benchmark.sizes import Size, Tensors, draw
from isoflop.kernels import (
    adamw,
    attention,
    attention_backward,
    block,
    block_backward,
    cross_entropy,
    cross_entropy_backward,
    embed,
    linear,
    mlp,
    mlp_backward,
    noise,
    norm,
    qkv,
    qkv_backward,
    reference,
)
from isoflop.kernels.configurations import chip_of, folder, table
from isoflop.kernels.signatures import OPS


class Work(NamedTuple):
    """FLOPs, and the least bytes read and written, of one pass."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Case:
    """One op.

    Attributes:
        op: its row of the table of signatures, and its definition in ``isoflop.kernels.reference``.
        forward: (tensors, results of an earlier call to be filled again or None) to the results.
        results: of what ``forward`` gives, those that the definition gives too.
        work: (size, bytes an element) to the work of the forward pass and, where there is one, of the backward pass.
        backward: (tensors, what ``forward`` gave, gradients of ``results``, those of an earlier call or None) to
            gradients, the first of which are of the tensors named ``gradients``.
        matrix: products of matrices decide its FLOPs, vector units do otherwise.
        settings: what kernels and definition take besides tensors.
        axes: that are not those of ``Size.axes``, of a size.
        without: optional tensors that the call leaves out.
        dtypes: that it is checked in.
        table: of tiles, which may end at some width: wider rows are others' to compute.
        longest: positions of a sequence that it takes.
        definition: of one model, in place of the one of that name.
    """

    op: str
    forward: Callable[[Tensors, Any], Any]
    results: Callable[[Any], tuple[Tensor, ...]]
    work: Callable[[Size, int], tuple[Work, ...]]
    backward: Callable[[Tensors, Any, tuple[Tensor, ...], Any], Any] | None = None
    gradients: tuple[str, ...] = ()
    matrix: bool = True
    settings: Callable[[Size], Mapping[str, Any]] = lambda size: {}
    axes: Callable[[Size], Mapping[str, int]] = lambda size: {}
    without: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16)
    definition: Callable[..., Any] | None = None
    table: str | None = None
    longest: int | None = None

    def serves(self, size: Size, dtype: torch.dtype, device: torch.device) -> bool:
        """Whether its kernels take rows so wide and sequences so long."""
        if size.seq > (self.longest or size.seq):
            return False
        rows = () if self.table is None else table(self.table, chip_of(device), user=folder())
        return not rows or any(row.serves(chip_of(device), 8 * dtype.itemsize, size.width) for row in rows)

    def draw(self, size: Size, dtype: torch.dtype, device: torch.device) -> Tensors:
        """Its tensors at that size."""
        return draw(self.op, size, dtype, device, axes=self.axes(size), without=self.without)

    def define(self, size: Size) -> Callable[[Tensors], tuple[Tensor, ...]]:
        """The op of K models in plain torch, one model after another: tensors to the results, one flat tuple."""
        op, settings = reference.on_models(self._definition), self.settings(size)
        return lambda tensors: flat(op(*tensors.values(), **settings))

    def define_one(self, size: Size) -> Callable[[Tensors], tuple[Tensor, ...]]:
        """The op of one model in plain torch, on tensors without a model axis."""
        op, settings = self._definition, self.settings(size)
        return lambda tensors: flat(op(*tensors.values(), **settings))

    @property
    def _definition(self) -> Callable[..., Any]:
        return self.definition or getattr(reference, self.op)


def flat(value: Any) -> tuple[Tensor, ...]:
    """Every tensor of nested tuples and lists, in order."""
    return (value,) if isinstance(value, Tensor) else tuple(each for part in value for each in flat(part))


def _forward(module: Any, **settings: Any) -> Callable[[Tensors, Any], Any]:
    return lambda tensors, out: module.forward(*tensors.values(), out=out, **settings)


def _both(flops: tuple[float, ...], moved: tuple[float, ...], models: int = 1) -> tuple[Work, ...]:
    return tuple(Work(models * f, models * b) for f, b in zip(flops, moved, strict=True))


def _norm_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    elements = size.rows * size.width
    return _both(
        tuple(each * elements for each in norm.FLOPS["layer"]),
        norm.least_bytes(size.rows, size.width, itemsize, add=True),
        size.models,
    )


def _norm_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    _, total, mean, rstd = made
    dx, dgain, dbias, *_ = gradients = norm.backward(
        grads[0], total, tensors["gain"], mean, rstd, grads[1], has_bias=True, out=None if out is None else out[-1]
    )
    return dx, dx, dgain, dbias, gradients


def _qkv_outputs(size: Size) -> int:
    return 3 * size.width


def _qkv_settings(size: Size) -> dict[str, Any]:
    heads = size.axes["H"]
    return {"kind": "layer", "n_head": heads, "n_kv_head": heads, "base": None if size.d_head % 2 else 10_000.0}


def _qkv_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    outputs, turned = _qkv_outputs(size), None if size.d_head % 2 else size.d_head
    forward, backward = qkv.least_bytes(
        size.rows, size.seq, size.width, outputs, itemsize, layer=True, shift=True, bias=True, turned=turned
    )
    of_norm = norm.least_bytes(size.rows, size.width, itemsize, add=False)[1]
    return _both(qkv.flops(size.rows, size.width, outputs), (forward, backward + of_norm), size.models)


def _qkv_forward(tensors: Tensors, out: Any) -> Any:
    size = _size_of(tensors)
    return qkv.forward(*tensors.values(), out=out, **_qkv_settings(size))


def _size_of(tensors: Tensors) -> Size:
    return Size._make((*tensors["x"].shape, 0))


def _qkv_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    settings = _qkv_settings(_size_of(tensors))
    dq, dk, dv = grads
    x, gain, shift, weight = (tensors[name] for name in ("x", "gain", "shift", "weight"))
    norms = made.mean, made.rstd
    return qkv_backward.backward(
        dq, dk, dv, x, gain, shift, weight, *norms, has_bias=True, base=settings["base"], out=out
    )


_MLP: dict[str, Any] = {"kind": "gelu", "norm": "layer", "residual": True}
_IN_MLP = ("x", "w_in", "b_in", "w_out", "b_out", "gain", "bias")


def _mlp_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.width, size.axes["F"]
    return _both(mlp.flops(*at, kind="gelu"), mlp.least_bytes(*at, itemsize, kind="gelu"), size.models)


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
    return _both(block.flops(*at, **heads, kind="gelu"), moved, size.models)


def _block_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    kept = None if out is None else out[-1]
    gradients = block_backward.backward(grads[0], made[1], *tensors.values(), **_block_settings(tensors), out=kept)
    named = gradients.named()
    return (*(named[f"d{name}"] for name in _IN_BLOCK), gradients)


def _attention_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    return _both(attention.flops(size.axes), attention.minimum_bytes(size.axes, itemsize))


def _loss_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.vocabulary, size.width
    flops = cross_entropy.flops(*at), cross_entropy_backward.flops(*at)
    moved = cross_entropy.least_bytes(*at, itemsize), cross_entropy_backward.least_bytes(*at, itemsize)
    return _both(flops, moved, size.models)


def _embed_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    flops = tuple(each * size.rows * size.width for each in embed.FLOPS)
    return _both(flops, embed.least_bytes(size.batch, size.seq, size.vocabulary, size.width, itemsize), size.models)


def _embed_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    counts = {"n_vocab": tensors["token_table"].shape[1], "n_positions": tensors["position_table"].shape[1]}
    return embed.backward(grads[0], tensors["tokens"], out=out, **counts)


def _parameters(size: Size) -> int:
    return size.width * size.width + size.width


_DECAYED = (True, False)


def _update(tensors: Tensors, out: Any) -> Any:
    held = adamw.AdamW(decayed=_DECAYED, **tensors) if out is None else out
    held.update()
    return held


def _updated(held: Any) -> tuple[Tensor, ...]:
    return flat([*(held.kept[name] for name in ("params", "first", "second")), held.norm])


def _defined_update(*values: Any) -> Any:
    params, grads, first, second, _, step, *hyper = values
    named = dict(zip(OPS["adamw"].hyper, hyper, strict=True))
    return reference.adamw(params, grads, first, second, step=step + 1, decayed=[*_DECAYED], **named)


def _accumulate(tensors: Tensors, out: Any) -> Any:
    if out is None:
        sums = tensors["sums"]
        moments = [torch.zeros_like(each, dtype=torch.float32) for each in sums]
        one = torch.ones(sums[0].shape[0], dtype=torch.float64, device=sums[0].device)
        hyper: Tensors = dict.fromkeys(OPS["adamw"].hyper, one)
        held = adamw.AdamW(sums, sums, moments, moments, decayed=_DECAYED, step=one.long(), **hyper)
        out = noise.GradientNoise(held, tensors["grads"])
    out.squares.zero_()
    out.add(first=False)
    return out


CASES: dict[str, Case] = {
    case.op: case
    for case in (
        Case(
            "embed",
            _forward(embed),
            lambda made: (made,),
            _embed_work,
            _embed_backward,
            ("token_table", "position_table"),
            matrix=False,
        ),
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
            lambda size, itemsize: _both(
                linear.flops(size.rows, size.width, size.width),
                linear.least_bytes(size.rows, size.width, size.width, itemsize, bias=True, residual=True),
                size.models,
            ),
            lambda t, made, grads, out: linear.backward(grads[0], t["x"], t["weight"], has_bias=True, out=out),
            ("x", "weight", "bias"),
        ),
        Case(
            "norm_qkv",
            _qkv_forward,
            lambda made: made[:3],
            _qkv_work,
            _qkv_backward,
            ("x", "gain", "shift", "weight", "bias"),
            settings=_qkv_settings,
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
            "mlp",
            _forward(mlp, **_MLP),
            lambda made: (made,),
            _mlp_work,
            lambda t, made, grads, out: mlp_backward.backward(grads[0], *t.values(), **_MLP, out=out),
            _IN_MLP,
            settings=lambda size: _MLP,
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
        Case(
            "linear_cross_entropy",
            _forward(cross_entropy),
            lambda made: (made.mean,),
            _loss_work,
            lambda t, made, grads, out: cross_entropy_backward.backward(
                t["x"], t["weight"], t["targets"], made.lse, made.total, dmean=grads[0], out=out
            ),
            ("x", "weight"),
            without=("weights",),
        ),
        Case(
            "adamw",
            _update,
            _updated,
            lambda size, itemsize: _both(
                (adamw.FLOPS * _parameters(size),), (adamw.least_bytes(_parameters(size), itemsize),), size.models
            ),
            matrix=False,
            without=("master",),
            dtypes=(torch.float32,),
            definition=_defined_update,
        ),
        Case(
            "accumulate",
            _accumulate,
            lambda held: flat([held.optimizer.kept["grads"], held.squares[:, 0]]),
            lambda size, itemsize: _both(
                (noise.FLOPS * _parameters(size),), (noise.least_bytes(_parameters(size), itemsize, 4),), size.models
            ),
            matrix=False,
            dtypes=(torch.float32,),
        ),
    )
}
"""By op."""
