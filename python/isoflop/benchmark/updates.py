"""Ops that write to the tensors of K models they are given: the optimizer, and sums of gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isoflop.benchmark.case import Case, both, flat
from isoflop.benchmark.sizes import Size, Tensors
from isoflop.kernels import adamw, noise, reference
from isoflop.kernels.signatures import OPS


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


UPDATES: tuple[Case, ...] = (
    Case(
        "adamw",
        _update,
        _updated,
        lambda size, itemsize: both(
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
        lambda size, itemsize: both(
            (noise.FLOPS * _parameters(size),), (noise.least_bytes(_parameters(size), itemsize, 4),), size.models
        ),
        matrix=False,
        dtypes=(torch.float32,),
    ),
)
