"""Models whose tensors together pass 2^31 elements: the last program of the last one finds and writes its own.

Memory that is never touched costs nothing: of tensors of some gigabytes the last model's part alone is filled, and of
every grid the last program alone is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from isoflop.kernels import (
    attention,
    attention_backward,
    block,
    cross_entropy,
    cross_entropy_backward,
    embed,
    hidden,
    linear,
    linear_backward,
    mlp,
    mlp_backward,
    moe,
    norm,
    norm_backward,
    qkv,
    qkv_backward,
)
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.orthogonal import orthogonalise
from isoflop.kernels.signatures import OPS
from proof.interpreter import last_programs

SIZES = {"M": 512, "D": 512, "I": 512, "O": 512, "B": 1, "T": 512, "V": 1024, "P": 512, "F": 512, "E": 4, "J": 2}
HEADS = {"H": 4, "G": 4, "T": 1024, "C": 64}
BLOCK = {"B": 64, "T": 64, "D": 64, "R": 192, "S": 64, "I": 128, "F": 128}
NARROW = {"M": 4096, "D": 64, "I": 2048, "F": 2048}
VOCABULARY = {"V": 8192, "D": 256}
PLAIN: dict[str, Any] = {"kind": "gelu", "norm": "layer"}

LAUNCHERS: dict[str, tuple[dict[str, int], Callable[..., Any]]] = {
    "norm": ({}, lambda **t: norm.forward(**t, kind="layer")),
    "norm_backward": ({}, lambda **t: norm_backward.backward(**t, has_bias=True)),
    "linear": ({}, linear.forward),
    "linear_backward": ({}, lambda **t: linear_backward.backward(**t, has_bias=True)),
    "norm_qkv": ({"O": 768}, lambda **t: qkv.forward(**t, kind="rms", n_head=8, n_kv_head=2, base=1e4)),
    "norm_qkv_backward": (
        HEADS | {"T": 512, "D": 512, "O": 768}, lambda **t: qkv_backward.backward(**t, has_bias=True, base=1e4)
    ),
    "attention": (HEADS, attention.forward),
    "attention_backward": (HEADS, attention_backward.backward),
    "activation": ({}, lambda x: hidden.forward(x, kind="swiglu")),
    "mlp": (NARROW, lambda **t: mlp.forward(**t, **PLAIN)),
    "mlp_backward": (NARROW, lambda **t: mlp_backward.backward(**t, **PLAIN)),
    "block": (BLOCK, lambda **t: block.forward(**t, **PLAIN, n_head=2, n_kv_head=2)),
    "moe": (
        {"D": 128, "I": 512, "F": 512, "N": 1},
        lambda x, router, w_in, w_out, **_: moe.forward(x, router, w_in, w_out, kind="gelu", top_k=2),
    ),
    "linear_cross_entropy": (VOCABULARY, lambda **t: cross_entropy.forward(**t)[:4]),
    "linear_cross_entropy_backward": (VOCABULARY, lambda dlosses, **t: cross_entropy_backward.backward(**t)),
    "embed": ({"D": 256}, embed.forward),
    "orthogonalise": ({}, lambda u: orthogonalise(u, steps=1)),
    "adamw": ({}, lambda **t: adamw(**t)),
}  # fmt: skip


def adamw(**given: Any) -> tuple[Tensor, ...]:
    optimizer = AdamW(**given, decayed=[True])
    optimizer.update()
    return given["params"][0], given["first"][0], given["second"][0]


def tensors(op: str, sizes: dict[str, int], models: int) -> dict[str, Any]:
    """Of ``op``, in float16, the same numbers in the last model however many there are."""
    generator, made = torch.Generator().manual_seed(0), {}
    for argument in OPS[op].arguments:
        axes = [sizes[axis] for axis in argument.axes.replace("*", "I O").split()[1:]]
        dtype = torch.float16 if argument.dtype in ("data", "gradient") else getattr(torch, argument.dtype)
        whole = torch.empty(models, *axes, dtype=dtype)
        drawn = torch.randn(axes, generator=generator).abs() / 8
        whole[-1] = 1 if dtype == torch.int64 else drawn
        made[argument.name] = [whole] if argument.many else whole
    return made


def noughts(*size: int, empty: Callable[..., Tensor] = torch.empty, **options: Any) -> Tensor:
    """Of memory never touched before, which reads as nought, where there is much of it."""
    made = empty(*size, **options)
    return made if made.nbytes > 2**26 else made.zero_()


def last(results: Any) -> list[Tensor]:
    return [each[-1] for each in tree_leaves(results) if isinstance(each, Tensor)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the logarithm of sums that the programs before would make
@pytest.mark.parametrize("op", LAUNCHERS)
def test_the_last_of_models_of_more_than_two_to_the_31_elements_is_as_it_is_alone(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (linear, qkv, cross_entropy_backward):  # torch's libraries would compute all models
        monkeypatch.setattr(module, "library_past", lambda table: math.inf)
    own, launcher = LAUNCHERS[op]
    alone = tensors(op, SIZES | own, 1)
    models = 2**31 // max(each.numel() for each in tree_leaves(alone)) + 2
    monkeypatch.setattr(torch, "empty", noughts)
    with last_programs():
        many = last(launcher(**tensors(op, SIZES | own, models)))
        one = last(launcher(**alone))
    assert any(bool(each.any()) for each in one)
    torch.testing.assert_close(many, one, rtol=0, atol=0, equal_nan=True)


def test_logits_of_more_than_two_to_the_31_elements_have_their_gradients_where_they_lie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that torch's products go on from, which are left out: they would compute all models."""
    monkeypatch.setattr(cross_entropy_backward, "is_wide", lambda x: True)  # float16, which these tensors are, too
    monkeypatch.setattr(torch, "bmm", lambda left, right, out: out)
    own, launcher = LAUNCHERS["linear_cross_entropy_backward"]
    monkeypatch.setattr(torch, "empty", noughts)
    found = []
    for models in (1, 2**31 // (SIZES["M"] * VOCABULARY["V"]) + 2):
        given = tensors("linear_cross_entropy_backward", SIZES | own, models)
        with last_programs():
            found.append(launcher(**given).q[-1].clone())
    assert bool(found[0].any())
    assert torch.equal(*found)
