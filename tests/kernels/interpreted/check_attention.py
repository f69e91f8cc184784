"""The attention kernels against their definition, in the interpreter, at the smallest tiles that a product takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import attention, attention_backward, attention_mask, reference
from isoflop.kernels.dispatch import last_dispatch
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
FULL: dict[str, Any] = {"causal": False}
CAUSAL: dict[str, Any] = {"causal": True}
MASKS = [FULL, CAUSAL, *({"causal": True, "window": window} for window in (1, 5, 16, 17, 40))]
TILES = [(16, 32), (32, 16)]


@pytest.fixture(autouse=True, params=TILES[:1], ids=str)
def tile(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    block = dict(zip(("rows", "columns"), request.param, strict=True))
    with tiles(attention=block | {"sdpa_past": 256}, attention_dq=block, attention_dkdv=block):
        yield request.param


class Inputs(NamedTuple):
    dy: Tensor
    q: Tensor
    k: Tensor
    v: Tensor

    def of(self, models: slice) -> Inputs:
        return Inputs(*(each[models] for each in self))


def inputs(
    seq: int, width: int, dtype: torch.dtype = torch.float32, *, models: int = 1, batch: int = 1, heads: int = 1,
    shared: int = 1,
) -> Inputs:  # fmt: skip
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seq + width))
    of_query, of_key = (models, batch, heads, seq, width), (models, batch, heads // shared, seq, width)
    drawn = draw(*of_query), 2 * draw(*of_query), 2 * draw(*of_key), draw(*of_key) + 0.5
    return Inputs(*(fenced(each.to(dtype)) for each in drawn))


def by_kernels(given: Inputs, **mask: Any) -> dict[str, Tensor]:
    dy, q, k, v = given
    with fenced_empties():
        y, lse = attention.forward(q, k, v, backend="triton", **mask)
        dq, dk, dv, _ = attention_backward.backward(dy, q, k, v, y, lse, **mask)
    assert lse is not None
    return {"y": y, "lse": lse, "dq": dq, "dk": dk, "dv": dv}


def log_sum_exp(
    q: Tensor, k: Tensor, *, causal: bool = True, window: int | None = None, scale: float | None = None
) -> Tensor:
    seq, width = q.shape[-2:]
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = (q @ k.repeat_interleave(q.shape[2] // k.shape[2], dim=2).mT).to(wide) * (scale or width**-0.5)
    return scores.masked_fill(~visible(seq, causal=causal, window=window), -torch.inf).logsumexp(-1)


def visible(seq: int, *, causal: bool = True, window: int | None = None, scale: float | None = None) -> Tensor:
    apart = torch.arange(seq)[:, None] - torch.arange(seq)
    return (apart >= 0) & (apart < (window or seq)) if causal else torch.ones(seq, seq).bool()


def by_definition(given: Inputs, dtype: torch.dtype, **mask: Any) -> dict[str, Tensor]:
    dy, q, k, v = (each.detach().to(dtype).requires_grad_() for each in given)
    y = reference.on_models(partial(reference.attention, **mask))(q, k, v)
    dq, dk, dv = torch.autograd.grad(y, (q, k, v), dy)
    named = {"y": y, "lse": log_sum_exp(q, k, **mask), "dq": dq, "dk": dk, "dv": dv}
    return {name: value.detach() for name, value in named.items()}


def assert_right(given: Inputs, **mask: Any) -> None:
    actual = by_kernels(given, **mask)
    plain, exact = by_definition(given, given.q.dtype, **mask), by_definition(given, torch.float64, **mask)
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_every_mask_matches_the_definition_in_every_dtype(dtype: torch.dtype, mask: dict[str, Any]) -> None:
    assert_right(inputs(49, 24, dtype), **mask)


@pytest.mark.parametrize("seq", [1, 2, 15, 16, 17, 31, 32, 33, 63, 65])
@pytest.mark.parametrize("mask", [FULL, CAUSAL, MASKS[-3]], ids=str)
@pytest.mark.parametrize("tile", TILES, ids=str, indirect=True)
def test_sequences_round_the_edge_of_every_block(seq: int, mask: dict[str, Any], tile: tuple[int, int]) -> None:
    assert_right(inputs(seq, 16, batch=4), **mask)


@pytest.mark.parametrize("width", [1, 3, 15, 16, 17, 33, 64, 65, 127, 128, 200, 256])
def test_heads_of_any_width(width: int) -> None:
    assert_right(inputs(17, width))


@pytest.mark.parametrize(("heads", "shared"), [(2, 2), (6, 3), (6, 6), (3, 1)])
@pytest.mark.parametrize("mask", [FULL, CAUSAL], ids=str)
def test_query_heads_share_key_heads(heads: int, shared: int, mask: dict[str, Any]) -> None:
    assert_right(inputs(18, 8, batch=2, heads=heads, shared=shared), **mask)


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_a_given_scale_takes_the_place_of_one_over_the_root_of_the_width(scale: float) -> None:
    assert_right(inputs(20, 8), scale=scale)


def test_a_scale_of_its_own_gives_each_model_the_bits_it_has_alone() -> None:
    given, scales = inputs(33, 24, models=2, heads=2), torch.tensor([0.3, 0.05], dtype=torch.float64)
    together = by_kernels(given, scale=scales)
    for k, scale in enumerate(scales.tolist()):
        alone = by_kernels(given.of(slice(k, k + 1)), scale=scale)
        assert all(torch.equal(value, together[name][k : k + 1]) for name, value in alone.items())
    with pytest.raises(KernelError, match="'sdpa' has one scale for all models"):
        attention.forward(given.q, given.k, given.v, scale=scales, backend="sdpa")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [16, 24])
def test_scores_beyond_the_range_of_exp_are_as_accurate(width: int, dtype: torch.dtype) -> None:
    dy, q, k, v = inputs(40, width, dtype)
    assert_right(Inputs(dy, q * 8, k * 8, v), **MASKS[3])


@pytest.mark.parametrize("mask", [FULL, CAUSAL, MASKS[-2]], ids=str)
def test_the_order_of_programs_changes_no_bit(mask: dict[str, Any]) -> None:
    given = inputs(33, 16, torch.bfloat16, models=2)
    runs = []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given, **mask))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    given = inputs(18, 16, dtype, models=2, heads=2, shared=2)
    together = by_kernels(given)
    for k in range(2):
        alone = by_kernels(given.of(slice(k, k + 1)))
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


def test_results_of_an_earlier_call_are_filled_again() -> None:
    given = inputs(20, 8)
    dy, q, k, v = (each * 2 for each in given)
    first = attention.forward(q, k, v, backend="triton")
    grads = attention_backward.backward(dy, q, k, v, *first)
    results = attention.forward(*given[1:], backend="triton", out=first)
    again = attention_backward.backward(*given, *results, out=grads)
    assert all(made is room for made, room in zip((*results, *again), (*first, *grads), strict=True))
    assert all(
        torch.equal(made, each) for made, each in zip((*results, *again), by_kernels(given).values(), strict=False)
    )
    with pytest.raises(KernelError, match="attention: y of out is"):
        attention.forward(*(each[..., :19, :].contiguous() for each in given[1:]), backend="triton", out=first)


def test_which_implementation_ran_is_visible() -> None:
    by_kernels(inputs(4, 4))
    assert {"attention": "triton", "attention_backward": "triton"}.items() <= last_dispatch().items()


@triton.jit
def _bounds(OUT, T, window, CAUSAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    block, at = tl.program_id(0), OUT + 8 * tl.program_id(0)
    first, whole, stop, end = attention_mask.keys_seen(block * ROWS, T, window, CAUSAL, ROWS, COLUMNS)
    tl.store(at, first)
    tl.store(at + 1, whole)
    tl.store(at + 2, stop)
    tl.store(at + 3, end)
    first, whole, stop, end = attention_mask.queries_that_see(block * COLUMNS, T, window, CAUSAL, ROWS, COLUMNS)
    tl.store(at + 4, first)
    tl.store(at + 5, whole)
    tl.store(at + 6, stop)
    tl.store(at + 7, end)


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("tile", TILES, ids=str, indirect=True)
def test_blocks_are_skipped_masked_or_whole_as_their_pairs_are(mask: dict[str, Any], tile: tuple[int, int]) -> None:
    rows, columns = tile
    for seq in (1, 16, 31, 32, 33, 64, 80, 97):
        seen = visible(seq, **mask)
        window = mask.get("window") if mask.get("window", seq) < seq else None
        blocks = min(triton.cdiv(seq, rows), triton.cdiv(seq, columns))
        bounds = torch.zeros(blocks, 8, dtype=torch.int32)
        _bounds[(blocks,)](bounds, seq, window, CAUSAL=mask["causal"], ROWS=rows, COLUMNS=columns)
        for block, (*keys, first, whole, stop, end) in enumerate(bounds.tolist()):
            assert_bounds(seen[block * rows : (block + 1) * rows], keys, columns, rows)
            assert_bounds(seen[:, block * columns : (block + 1) * columns].T, [first, whole, stop, end], rows, columns)


def assert_bounds(seen: Tensor, bounds: list[int], block: int, full: int) -> None:
    """``seen`` (at most ``full`` that stay, all that pass): what of it is passed over, masked, whole."""
    first, whole, stop, end = bounds
    for start in range(0, seen.shape[1], block):
        pairs = seen[:, start : start + block]
        assert bool(pairs.any()) == (first <= start < end)
        if whole <= start < stop:
            assert pairs.shape[1] == block
            assert bool(pairs.all())
        elif len(seen) == full and pairs.shape[1] == block:
            assert not pairs.all()


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_flops_and_bytes_are_those_of_the_formulas(mask: dict[str, Any], tile: tuple[int, int]) -> None:
    rows, columns = tile
    sizes = {"K": 2, "B": 1, "H": 2, "G": 1, "T": 64, "C": 16}
    given = inputs(64, 16, torch.float16, models=2, heads=2, shared=2)
    seen = visible(64, **mask)
    tiles = seen.view(64 // rows, rows, 64 // columns, columns).permute(0, 2, 1, 3).flatten(2).any(-1).sum().item()
    with counted() as ahead:
        y, lse = attention.forward(*given[1:], backend="triton", **mask)
    with counted() as back:
        attention_backward.backward(*given, y, lse, **mask)
    heads = sizes["K"] * sizes["B"] * sizes["H"]
    assert (ahead.products, back.products) == (2 * heads * tiles, 7 * heads * tiles)
    assert (ahead.flops, back.flops) == tuple(2 * n * rows * columns * 16 * heads * tiles for n in (2, 7))
    assert attention.flops(sizes, **mask) == tuple(2 * n * int(seen.sum()) * 16 * heads for n in (2, 5))
    forward, backward = attention.minimum_bytes(sizes, 2)
    delta = 2 * 4 * heads * 64  # written by one kernel, read by the other
    assert ahead.read + ahead.written == forward
    assert back.read + back.written == backward + delta
