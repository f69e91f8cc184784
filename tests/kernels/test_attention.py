"""Attention outside the interpreter: what is refused, what torch computes, and what the formulas count."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
from isoflop import Shape, _core
from isoflop.counting.masks import Mask
from isoflop.errors import KernelError
from isoflop.kernels import attention, attention_backward, reference
from isoflop.kernels.attention_mask import pairs
from isoflop.kernels.dispatch import last_dispatch


def tensors(heads: int = 4, shared: int = 2, width: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width))
    of_query, of_key = (2, 3, heads, 9, width), (2, 3, heads // shared, 9, width)
    return draw(*of_query), draw(*of_query), draw(*of_key), draw(*of_key)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "attention: q is on cpu; Triton kernels run on a GPU"),
        ({"window": 0}, "attention: a window of 0 positions; a query sees itself at least: 1 or more"),
        ({"window": 4, "causal": False}, "a window of 4 positions needs a causal mask\n  hint: causal=True"),
        ({"backend": "tritn"}, r"no backend 'tritn' of attention\n  hint: did you mean 'triton'\?"),
    ],
)
def test_what_attention_cannot_take_is_refused_in_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises(KernelError, match=message):
        attention.forward(*tensors()[1:], **given)


def test_backward_refuses_what_forward_refuses() -> None:
    dy, q, k, v = tensors()
    lse = torch.zeros(q.shape[:-1])
    for given, message in (({"window": 0}, "window of 0"), ({}, "q is on cpu")):
        with pytest.raises(KernelError, match=message):
            attention_backward.backward(dy, q, k, v, dy, lse, **given)
    with pytest.raises(KernelError, match="lse is float64; allowed: float32"):
        attention_backward.backward(dy, q, k, v, dy, lse.double())


def test_query_heads_that_key_heads_do_not_divide_are_refused() -> None:
    dy, q, _, _ = tensors(heads=5, shared=5)
    key = torch.ones(2, 3, 2, 9, 8)
    with pytest.raises(KernelError, match="5 query heads are no multiple of 2 key heads"):
        attention.forward(q, key, key)
    with pytest.raises(KernelError, match="5 query heads are no multiple of 2 key heads"):
        attention_backward.backward(dy, q, key, key, dy, None)


def test_heads_beyond_the_kernels_are_refused_where_kernels_are_asked_for() -> None:
    _, q, k, v = tensors(width=257)
    with pytest.raises(KernelError, match=r"257 channels; 256 at most\n  hint: backend='sdpa'"):
        attention.forward(q, k, v, backend="triton")


@pytest.mark.parametrize(("width", "backend"), [(8, "sdpa"), (129, None), (300, None)])
@pytest.mark.parametrize("mask", [{}, {"causal": False, "scale": 0.5}], ids=str)
def test_wide_heads_go_to_torch_and_say_so(width: int, backend: str | None, mask: dict[str, Any]) -> None:
    dy, *given = tensors(width=width)
    y, lse = attention.forward(*given, backend=backend, **mask)
    assert lse is None
    assert last_dispatch()["attention"] == "sdpa"
    grads = attention_backward.backward(dy, *given, y, lse, **mask)
    assert last_dispatch()["attention_backward"] == "sdpa"
    leaves = [each.requires_grad_() for each in given]
    expected = reference.on_models(partial(reference.attention, **mask))(*leaves)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(grads[:3], torch.autograd.grad(expected, leaves, dy))


def test_a_window_stays_with_the_kernels_unless_torch_is_asked_for() -> None:
    given = tensors(width=200)[1:]
    with pytest.raises(KernelError, match="q is on cpu"):
        attention.forward(*given, window=3)
    y, _ = attention.forward(*given, window=3, backend="sdpa")
    torch.testing.assert_close(y, reference.on_models(partial(reference.attention, window=3))(*given))


def test_results_of_torch_fill_those_of_an_earlier_call() -> None:
    dy, *given = tensors()
    first = attention.forward(*given, backend="sdpa")
    grads = attention_backward.backward(dy, *given, *first)
    expected = [each.clone() for each in (first[0], *grads[:3])]
    for room in (first[0], *grads[:3]):
        room.zero_()
    results = attention.forward(*given, backend="sdpa", out=first)
    again = attention_backward.backward(dy, *given, *results, out=grads)
    assert all(made is room for made, room in zip((*results, *again), (*first, *grads), strict=True))
    torch.testing.assert_close([first[0], *grads[:3]], expected)


@pytest.mark.parametrize("seq", [1, 2, 7, 64, 4096])
def test_pairs_are_those_that_counting_counts(seq: int) -> None:
    shape = Shape(n_layer=1, d_model=8, n_head=1, n_ctx=seq, n_vocab=8)

    def counted(mask: Mask) -> int:
        return int(_core.masked_pairs(shape.core, mask.core, seq))

    assert pairs(seq) == counted(Mask.causal())
    assert pairs(seq, causal=False) == counted(Mask.full())
    for window in {1, min(3, seq), seq}:
        assert pairs(seq, window=window) == counted(Mask.window(window))
    assert pairs(seq, window=seq + 1) == pairs(seq)
