"""From tokens to rows and from rows to the loss: what is done once a step, beside the blocks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from isoflop.benchmark.case import Case, Work, both
from isoflop.benchmark.sizes import Size, Tensors
from isoflop.kernels import cross_entropy, cross_entropy_backward, embed, embed_backward


def _loss_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.vocabulary, size.width
    flops = cross_entropy.flops(*at), cross_entropy_backward.flops(*at)
    moved = cross_entropy.least_bytes(*at, itemsize), cross_entropy_backward.least_bytes(*at, itemsize)
    return both(flops, moved, size.models)


def _embed_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    flops = tuple(each * size.rows * size.width for each in embed.FLOPS)
    return both(flops, embed.least_bytes(size.batch, size.seq, size.vocabulary, size.width, itemsize), size.models)


def _embed_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    counts = {"n_vocab": tensors["token_table"].shape[1], "n_positions": tensors["position_table"].shape[1]}
    return embed_backward.backward(grads[0], tensors["tokens"], out=out, **counts)


VOCABULARY: tuple[Case, ...] = (
    Case(
        "embed",
        lambda t, out: embed.forward(*t.values(), out=out),
        lambda made: (made,),
        _embed_work,
        _embed_backward,
        ("token_table", "position_table"),
        matrix=False,
    ),
    Case(
        "linear_cross_entropy",
        lambda t, out: cross_entropy.forward(*t.values(), out=out),
        lambda made: (made.mean,),
        _loss_work,
        lambda t, made, grads, out: cross_entropy_backward.backward(
            t["x"], t["weight"], t["targets"], made.lse, made.total, dmean=grads[0], out=out
        ),
        ("x", "weight"),
        without=("weights",),
    ),
)
