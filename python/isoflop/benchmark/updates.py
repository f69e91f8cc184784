"""Optimizers and sums of gradients, which write to the tensors of K models that they are given."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from isoflop.benchmark.case import Case, Work, both, flat
from isoflop.benchmark.sizes import Size, Tensors
from isoflop.kernels import adamw, muon, noise, orthogonal, reference
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


def _unlike(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    """Both signs, and one more tensor, of each model, whose dtype is that of the iterations."""
    u = 2 * tensors["u"] - 1
    return {"u": u, "like": torch.empty(len(u), dtype=dtype, device=u.device)}


def _orthogonalise_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.axes["F"], size.width
    moved = math.prod(at) * 4 + orthogonal.least_bytes(*at, itemsize)
    return both((orthogonal.flops(*at, tiles=math.inf),), (moved,), size.models)


def _muon(tensors: Tensors, out: Any) -> Any:
    held = muon.Muon(**tensors, dtype=tensors["params"][0].dtype) if out is None else out
    held.update()
    return held


def _defined_muon(params: Any, grads: Any, first: Any, master: Any, *hyper: Tensor) -> Any:
    named: dict[str, Any] = dict(zip(OPS["muon"].hyper, hyper, strict=True))
    moved, momenta = reference.muon(params, grads, first, **named)
    return [new.to(old.dtype) for new, old in zip(moved, params, strict=True)], momenta


def _muon_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.width, size.width
    moved = math.prod(at) * (3 * itemsize + 8) + orthogonal.least_bytes(*at, itemsize)
    return both((orthogonal.flops(*at, tiles=math.inf),), (moved,), size.models)


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
    Case(
        "orthogonalise",
        lambda t, out: orthogonal.orthogonalise(t["u"], dtype=t["like"].dtype, out=out),
        lambda room: (room.x,),
        _orthogonalise_work,
        axes=lambda size: {"O": size.axes["F"]},
        definition=lambda u, like: reference.orthogonalise(u.to(like.dtype)),
        drawn=_unlike,
    ),
    Case(
        "muon",
        _muon,
        lambda held: flat([[tensors[index] for tensors in held.tensors] for index in (0, 2)]),
        _muon_work,
        without=("master",),
        many=(2,),
        definition=_defined_muon,
    ),
)
