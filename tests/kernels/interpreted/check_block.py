"""The kernel of a whole block against its definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import block, block_backward, reference
from isoflop.kernels.activation import GATED
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
PLAIN = {"n_head": 2, "n_kv_head": 2, "kind": "gelu", "norm": "layer"}
MODERN = {"n_head": 4, "n_kv_head": 2, "kind": "swiglu", "norm": "rms", "rope_base": 10_000.0}
BIASES = ("bias1", "b_qkv", "b_proj", "bias2", "b_in", "b_out")


@pytest.fixture(autouse=True)
def tiles_for_the_interpreter() -> Iterator[None]:
    """Two tiles of hidden columns, so that one is cut short, and few programs."""
    tile = {"rows": 64, "hidden": 32}
    with tiles(block={"hidden": 32}, mlp_backward_rows=tile, mlp_backward_columns=tile):
        yield


def inputs(
    models: int, batch: int, seq: int, width: int, d_head: int, deep: int, dtype: torch.dtype, settings: dict[str, Any],
    *, biases: bool = True,
) -> dict[str, Tensor | None]:  # fmt: skip
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width + seq))
    queries, packed = settings["n_head"] * d_head, (settings["n_head"] + 2 * settings["n_kv_head"]) * d_head
    wide = deep * (2 if settings["kind"] in GATED else 1)
    drawn = {
        "dy": draw(models, batch, seq, width),
        "x": 2 * draw(models, batch, seq, width) + 0.5,
        "gain1": 1 + draw(models, width) / 4,
        "bias1": draw(models, width),
        "w_qkv": draw(models, packed, width) / width**0.5,
        "b_qkv": draw(models, packed),
        "w_proj": draw(models, width, queries) / queries**0.5,
        "b_proj": draw(models, width),
        "gain2": 1 + draw(models, width) / 4,
        "bias2": draw(models, width),
        "w_in": draw(models, wide, width) / width**0.5,
        "b_in": draw(models, wide),
        "w_out": draw(models, width, deep) / deep**0.5,
        "b_out": draw(models, width),
    }
    return {name: None if name in BIASES and not biases else fenced(each.to(dtype)) for name, each in drawn.items()}


def by_kernels(given: dict[str, Tensor | None], settings: dict[str, Any]) -> dict[str, Tensor]:
    tensors = {name: each for name, each in given.items() if name != "dy"}
    with fenced_empties():
        y, middle = block.forward(**tensors, **settings)
        grads = block_backward.backward(given["dy"], middle, **tensors, **settings)
    named = {"y": y, "middle": middle} | grads.named()
    return {name: value for name, value in named.items() if value is not None}


def by_definition(given: dict[str, Tensor | None], dtype: torch.dtype, settings: dict[str, Any]) -> dict[str, Tensor]:
    leaves = {name: None if each is None else each.detach().to(dtype).requires_grad_() for name, each in given.items()}
    dy = leaves.pop("dy")
    y, middle = reference.on_models(partial(reference.block, **settings))(*leaves.values())
    y.backward(dy)
    named = {"y": y.detach(), "middle": middle.detach()} | {
        f"d{name}": None if each is None else each.grad for name, each in leaves.items()
    }
    return {name: value for name, value in named.items() if value is not None}


def assert_right(given: dict[str, Tensor | None], settings: dict[str, Any]) -> None:
    actual = by_kernels(given, settings)
    plain, exact = (by_definition(given, dtype, settings) for dtype in (given["x"].dtype, torch.float64))
    assert actual.keys() == exact.keys()
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("settings", [PLAIN, MODERN], ids=["plain", "modern"])
def test_a_block_matches_its_definition(dtype: torch.dtype, settings: dict[str, Any]) -> None:
    assert_right(inputs(2, 2, 19, 20, 6, 40, dtype, settings), settings)


@pytest.mark.parametrize("settings", [PLAIN, MODERN], ids=["plain", "modern"])
def test_every_bias_may_be_absent(settings: dict[str, Any]) -> None:
    assert_right(inputs(1, 2, 19, 20, 6, 40, torch.float32, settings, biases=False), settings)


@pytest.mark.parametrize("seq", [1, 15, 16, 17])
@pytest.mark.parametrize("width", [15, 16, 17])
def test_sequences_and_widths_round_the_edge_of_a_tile(seq: int, width: int) -> None:
    settings = MODERN | {"n_head": 1, "n_kv_head": 1}
    batch = 16 // min(seq, 16)  # of a few elements torch's own error is luck
    assert_right(inputs(3, batch, seq, width, 16, 33, torch.float32, settings), settings)


@pytest.mark.parametrize("d_head", [2, 16, 18])
def test_heads_round_the_edge_of_a_tile(d_head: int) -> None:
    assert_right(inputs(2, 1, 9, 20, d_head, 8, torch.bfloat16, MODERN), MODERN)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_longest_sequence_of_the_widest_rows_fits_a_program(dtype: torch.dtype) -> None:
    settings, longest = MODERN | {"n_head": 2, "n_kv_head": 1}, block.LONGEST[8 * dtype.itemsize]
    assert_right(inputs(1, 1, longest, 64, 32, 64, dtype, settings), settings)


def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = inputs(2, 3, 9, 16, 8, 16, torch.bfloat16, PLAIN), []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given, PLAIN))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    given = inputs(2, 2, 9, 16, 8, 16, dtype, PLAIN)
    together = by_kernels(given, PLAIN)
    for k in range(2):
        alone = by_kernels({name: None if each is None else each[k : k + 1] for name, each in given.items()}, PLAIN)
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


def test_a_second_call_fills_the_tensors_of_the_first() -> None:
    given = inputs(1, 2, 9, 16, 8, 16, torch.float32, MODERN)
    tensors = {name: each for name, each in given.items() if name != "dy"}
    y, middle = block.forward(**tensors, **MODERN)
    grads = block_backward.backward(given["dy"], middle, **tensors, **MODERN)
    first = {name: None if each is None else each.clone() for name, each in grads.named().items()}
    with fenced_empties() as made:
        assert block.forward(**tensors, **MODERN, out=(y, middle))[0] is y
        again = block_backward.backward(given["dy"], middle, **tensors, **MODERN, out=grads)
    assert not made
    assert again.dx is grads.dx
    assert all(torch.equal(each, first[name]) for name, each in again.named().items() if each is not None)


@pytest.mark.parametrize("settings", [PLAIN, MODERN], ids=["plain", "modern"])
def test_counted_products_are_those_of_the_formula(settings: dict[str, Any]) -> None:
    sizes = {"batch": 2, "seq": 32, "width": 32, "d_head": 16, "deep": 64}
    given = inputs(1, *(sizes[name] for name in ("batch", "seq", "width", "d_head", "deep")), torch.float32, settings)
    with counted() as forward:
        y, middle = block.forward(**{name: each for name, each in given.items() if name != "dy"}, **settings)
    with counted() as backward:
        block_backward.backward(given.pop("dy"), middle, **given, **settings)
    heads = {name: settings[name] for name in ("n_head", "n_kv_head", "kind")}
    assert y.shape == middle.shape
    assert (forward.flops, backward.flops) == block.flops(**sizes, **heads)


@pytest.mark.parametrize("settings", [PLAIN, MODERN], ids=["plain", "modern"])
def test_counted_bytes_are_those_of_the_formula(settings: dict[str, Any]) -> None:
    sizes = {"batch": 2, "seq": 16, "width": 32, "d_head": 16, "deep": 64}
    given = inputs(1, *sizes.values(), torch.bfloat16, settings, biases=False)
    tensors = {name: each for name, each in given.items() if name != "dy"}
    with counted() as forward:
        _, middle = block.forward(**tensors, **settings)
    with counted() as backward:
        made = block_backward.backward(given["dy"], middle, **tensors, **settings)
    heads = {name: settings[name] for name in ("n_head", "n_kv_head", "kind")}
    least = block.least_bytes(**sizes, size=2, **heads)
    angles = 2 * 4 * sizes["seq"] * sizes["d_head"] // 2 if "rope_base" in settings else 0
    gains = 2 * 2 * sizes["width"]
    assert forward.read + forward.written == least[0] + gains + angles
    sums = [each for each in (*made[7:13], *made.mlp[7:]) if each is not None]
    between = 2 * (made.mlp.dx.nbytes + sum(each.nbytes for each in sums))  # written by one kernel, read by the next
    assert backward.read + backward.written == least[1] + 2 * gains + angles + between


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_head": 3}, r"block: 3 heads and 2 of keys and values do not share out 48 rows of w_qkv and 16 columns"),
        (
            {"rope_base": 1e4, "w_qkv": torch.ones(1, 18, 16), "b_qkv": None, "w_proj": torch.ones(1, 16, 6)},
            r"has 3 col",
        ),
        (
            {"x": torch.ones(1, 1, 129, 16)},
            r"sequences of 129; a program holds 32 positions of float32\n  hint: isoflop.kernels.att",
        ),
        ({"gain1": torch.ones(2, 16)}, r"block: axis K is 2 in gain1 and 1 in x"),
        ({"norm": "none"}, r"block: gain or bias is given, and there is no norm"),
    ],
)
def test_what_a_block_cannot_take_is_refused_in_words(changed: dict[str, Any], message: str) -> None:
    given = {name: each for name, each in inputs(1, 1, 4, 16, 8, 16, torch.float32, PLAIN).items() if name != "dy"}
    with pytest.raises(KernelError, match=message):
        block.forward(**(given | PLAIN | changed))
