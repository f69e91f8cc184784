"""The ops of the CPU as a table: sizes to check, tensors of a call, what C++ makes of them, and their definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isoflop.kernels import reference
from isoflop.kernels.native import attention, attention_backward, cross_entropy, embed, hidden, norm
from isoflop.kernels.signatures import Chance

Tensors = dict[str, Tensor]
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 130)


@dataclass(frozen=True)
class Case:
    """An op at one size. ``native`` takes tensors of K models, ``definition`` those of one, of any floating dtype.

    Both give their results by name; ``in_bfloat16``: whether there are products that may be in bfloat16.
    """

    name: str
    inputs: Callable[[torch.Generator], Tensors]
    native: Callable[[Tensors], Tensors]
    definition: Callable[[Tensors], Tensors]
    in_bfloat16: bool = False


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def gradients(y: Tensor, dy: Tensor, **by: Tensor) -> Tensors:
    """``d`` and the name -> the gradient by each."""
    found = torch.autograd.grad(y, list(by.values()), dy)
    return {f"d{name}": each for name, each in zip(by, found, strict=True)}


def leaves(given: Tensors, *names: str) -> Tensors:
    return {name: given[name].detach().requires_grad_() for name in names if name in given}


def norm_case(rows: int, width: int, kind: str, *, whole: bool) -> Case:
    """``whole``: with a bias, a residual and a gradient of the total."""

    def inputs(generator: torch.Generator) -> Tensors:
        made = {
            "x": normal(generator, rows, width),
            "gain": normal(generator, width),
            "dy": normal(generator, rows, width),
        }
        if whole:
            more = {"residual": (rows, width), "dtotal": (rows, width), "bias": (width,)}
            made |= {name: normal(generator, *shape) for name, shape in more.items()}
        return made

    def native(t: Tensors) -> Tensors:
        y, total, mean, rstd = norm.forward(t["x"], t["gain"], t.get("bias"), t.get("residual"), kind=kind)
        made = norm.backward(t["dy"], total, t["gain"], mean, rstd, t.get("dtotal"), has_bias=whole)
        return {"y": y, "dx": made.dx, "dgain": made.dgain} | ({} if made.dbias is None else {"dbias": made.dbias})

    def definition(t: Tensors) -> Tensors:
        held = leaves(t, "x", "gain", "bias")
        total = held["x"] + t["residual"] if whole else held["x"]
        y = reference.norm(total, held["gain"], held.get("bias"), kind=kind)
        target = (y * t["dy"]).sum() + ((total * t["dtotal"]).sum() if whole else 0)
        return {"y": y} | gradients(target, torch.ones_like(target), **held)

    return Case(f"norm-{kind}-{rows}x{width}{'-whole' * whole}", inputs, native, definition)


def embed_case(batch: int, seq: int, vocabulary: int, width: int, positions: int | None) -> Case:
    def inputs(generator: torch.Generator) -> Tensors:
        tokens = torch.randint(vocabulary, (batch, seq), generator=generator)
        made = {
            "tokens": tokens,
            "table": normal(generator, vocabulary, width),
            "dy": normal(generator, batch, seq, width),
        }
        if positions is not None:
            made["positions"] = normal(generator, positions, width)
        return made

    def native(t: Tensors) -> Tensors:
        y = embed.forward(t["tokens"], t["table"], t.get("positions"))
        made = embed.backward(t["dy"], t["tokens"], n_vocab=vocabulary, n_positions=positions, onto=t["table"])
        places = {} if made.dposition_table is None else {"dpositions": made.dposition_table}
        return {"y": y, "dtable": made.dtoken_table} | places

    def definition(t: Tensors) -> Tensors:
        held = leaves(t, "table", "positions")
        y = reference.embed(t["tokens"], held["table"], held.get("positions"))
        made = gradients(y, t["dy"], **held)
        return {"y": y} | made | {"dtable": made["dtable"] + t["table"]}

    return Case(f"embed-{batch}x{seq}x{width}-{vocabulary}-{positions}", inputs, native, definition)


def activation_case(rows: int, deep: int, kind: str) -> Case:
    wide = deep * (2 if kind == "swiglu" else 1)

    def inputs(generator: torch.Generator) -> Tensors:
        return {"z": 4 * normal(generator, rows, wide), "da": normal(generator, rows, deep)}

    def native(t: Tensors) -> Tensors:
        return {"a": hidden.forward(t["z"], kind=kind), "dz": hidden.backward(t["da"], t["z"], kind=kind)}

    def definition(t: Tensors) -> Tensors:
        held = leaves(t, "z")
        a = reference.activation(held["z"], kind=kind)
        return {"a": a} | gradients(a, t["da"], **held)

    return Case(f"activation-{kind}-{rows}x{deep}", inputs, native, definition)


_SEED_STEP_START = 5, 2, 2**32 - 100  # numbers of weights that pass 2^32 begin at 0 again


def attention_case(
    batch: int, heads: int, keys: int, seq: int, width: int, *, dropped: float = 0.0, **mask: Any
) -> Case:
    def inputs(generator: torch.Generator) -> Tensors:
        of_query, of_key = (batch, heads, seq, width), (batch, keys, seq, width)
        return {name: normal(generator, *(of_key if name in "kv" else of_query)) for name in ("q", "k", "v", "dy")}

    def native(t: Tensors) -> Tensors:
        models, told = len(t["q"]), dict(mask)
        if dropped:
            whole = [torch.full((models,), each) for each in _SEED_STEP_START]
            told["chance"] = Chance(torch.full((models,), dropped, dtype=torch.float64), *whole, op=4)
        y, lse = attention.forward(t["q"], t["k"], t["v"], **told)
        made = attention_backward.backward(t["dy"], t["q"], t["k"], t["v"], y, lse, **told)
        return {"y": y} | made._asdict()

    def definition(t: Tensors) -> Tensors:
        held = leaves(t, "q", "k", "v")
        if dropped:
            y = reference.dropped_attention(*held.values(), *_SEED_STEP_START, rate=dropped, op=4, **mask)
        else:
            y = reference.attention(**held, **mask)
        return {"y": y} | gradients(y, t["dy"], **held)

    told = "-".join(f"{name}={value}" for name, value in (mask | ({"dropped": dropped} if dropped else {})).items())
    return Case(f"attention-{batch}x{heads}:{keys}x{seq}x{width}-{told}", inputs, native, definition, in_bfloat16=True)


def cross_entropy_case(rows: int, vocabulary: int, width: int, *, z_loss: float = 0.0, part: bool = False) -> Case:
    """``part``: weights, ignored labels, and a mean over more rows than these."""
    more = 3.0

    def inputs(generator: torch.Generator) -> Tensors:
        targets = torch.randint(vocabulary, (rows,), generator=generator)
        made = {"x": normal(generator, rows, width), "weight": normal(generator, vocabulary, width) / width**0.5}
        if not part:
            return made | {"targets": targets}
        targets[torch.rand(rows, generator=generator) < 0.2] = -100
        weights = torch.rand(rows, generator=generator)
        share = 1 / (((targets != -100) * weights).sum() + more)
        return made | {"targets": targets, "weights": weights, "share": share}

    def native(t: Tensors) -> Tensors:
        given = t["x"], t["weight"], t["targets"], t.get("weights")
        made = cross_entropy.forward(*given, share=t.get("share"), z_loss=z_loss, hits=True, gradient=True)
        assert made.hits is not None
        assert made.dx is not None
        assert made.dweight is not None
        hits, told = made.hits.float(), {"mean": made.mean, "entropy": made.entropy, "losses": made.losses}
        return told | {"dx": made.dx, "dweight": made.dweight, "hits": hits}

    def definition(t: Tensors) -> Tensors:
        held = leaves(t, "x", "weight")
        given = held["x"], held["weight"], t["targets"], t.get("weights")
        losses, entropies = (
            reference.linear_cross_entropy(*given, reduction="none", z_loss=zeta) for zeta in (z_loss, 0.0)
        )
        mean, entropy = (each.sum() * t["share"] if part else each.mean() for each in (losses, entropies))
        hits = reference.argmax_hits(held["x"], held["weight"], t["targets"]).to(mean.dtype)
        made = {"mean": mean, "entropy": entropy, "losses": losses, "hits": hits}
        return made | gradients(mean, torch.ones_like(mean), **held)

    name = f"cross_entropy-{rows}x{vocabulary}x{width}-{z_loss}{'-part' * part}"
    return Case(name, inputs, native, definition, in_bfloat16=True)


def cases() -> Iterable[Case]:
    for width in WIDTHS:
        yield norm_case(5, width, "layer", whole=True)
        yield norm_case(4, width, "rms", whole=width % 2 == 0)
        yield activation_case(3, width, ("gelu", "gelu_tanh", "relu2", "swiglu")[width % 4])
        yield embed_case(2, 5, 11, width, 6 if width % 2 else None)
    yield norm_case(1, 1000, "layer", whole=False)
    for kind in ("gelu", "gelu_tanh", "relu2", "swiglu"):
        yield activation_case(4, 515, kind)
    for width in (1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 130):
        yield attention_case(1, 2, 1, 33, width, causal=True)
    for seq in (1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 97, 130):
        yield attention_case(1, 2, 2, seq, 16, causal=True)
        yield attention_case(2, 1, 1, seq, 8, causal=False)
        yield attention_case(1, 4, 2, seq, 32, causal=True, window=max(1, seq // 3))
    yield attention_case(1, 3, 1, 70, 20, causal=True, window=1, scale=0.3)
    yield attention_case(1, 2, 1, 70, 20, causal=True, window=33)
    for seq in (1, 17, 33, 130):
        yield attention_case(2, 4, 2, seq, 16, dropped=0.3)
    yield attention_case(1, 2, 2, 70, 20, dropped=0.5, window=40, scale=0.3)
    for vocabulary in (1, 2, 15, 16, 17, 31, 33, 64, 65, 130, 257):
        yield cross_entropy_case(33, vocabulary, 24, part=vocabulary % 2 == 0, z_loss=0.01 * (vocabulary % 3))
    for width in (1, 8, 15, 17, 31, 32, 33, 64, 129):
        yield cross_entropy_case(300, 40, width, part=True, z_loss=1e-3)
    yield cross_entropy_case(65, 2500, 16)
