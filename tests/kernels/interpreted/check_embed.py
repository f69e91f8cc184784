"""The kernels of embeddings against their definition, in the interpreter."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import embed, embed_backward, reference
from isoflop.kernels.configurations import table
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
EDGES = [
    (tile["rows"] + i, tile["columns"] + j) for tile in table("embed", None) for i, j in ((-1, 1), (0, 0), (1, -1))
]


class Inputs(NamedTuple):
    tokens: Tensor
    token_table: Tensor
    position_table: Tensor | None
    dy: Tensor

    def of(self, models: slice) -> Inputs:
        return Inputs(*(None if each is None else each[models] for each in self))


def inputs(
    models: int, batch: int, seq: int, width: int, dtype: torch.dtype, *, vocabulary: int = 7, positions: int | None = 0
) -> Inputs:
    """``positions`` more of them than ``seq``, or None."""
    generator = torch.Generator().manual_seed(seq + width)
    draw = partial(torch.randn, generator=generator)
    tokens = torch.randint(vocabulary, (models, batch, seq), generator=generator)
    more = None if positions is None else fenced(draw(models, seq + positions, width).to(dtype))
    drawn = draw(models, vocabulary, width), draw(models, batch, seq, width)
    return Inputs(tokens, fenced(drawn[0].to(dtype)), more, fenced(drawn[1].to(dtype)))


def by_kernels(given: Inputs, *, onto: Tensor | None = None) -> dict[str, Tensor]:
    count = None if given.position_table is None else given.position_table.shape[1]
    with fenced_empties():
        y = embed.forward(*given[:3])
        grads = embed_backward.backward(
            given.dy, given.tokens, n_vocab=given.token_table.shape[1], n_positions=count, onto=onto
        )
    named = {"y": y, "dtoken_table": grads.dtoken_table, "dposition_table": grads.dposition_table}
    return {name: value.clone() for name, value in named.items() if value is not None}


def by_definition(given: Inputs, dtype: torch.dtype) -> dict[str, Tensor]:
    tables = [each.detach().to(dtype).requires_grad_() for each in given[1:3] if each is not None]
    y = reference.on_models(reference.embed)(given.tokens, *tables)
    y.backward(given.dy.to(dtype))
    named = {"y": y, "dtoken_table": tables[0].grad}
    if len(tables) > 1:
        named["dposition_table"] = tables[1].grad
    return {name: value.detach() for name, value in named.items()}


def assert_right(given: Inputs) -> None:
    actual = by_kernels(given)
    plain, exact = (by_definition(given, dtype) for dtype in (given.dy.dtype, torch.float64))
    assert torch.equal(actual["y"], plain["y"])
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])
    assert actual.keys() == exact.keys()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("positions", [None, 0, 5])
def test_every_form_matches_its_definition(dtype: torch.dtype, positions: int | None) -> None:
    assert_right(inputs(2, 3, 21, 24, dtype, positions=positions))


@pytest.mark.parametrize(("seq", "width"), EDGES)
def test_sizes_round_the_edge_of_every_tile(seq: int, width: int) -> None:
    assert_right(inputs(1, 2, seq, width, torch.bfloat16, vocabulary=3))


@pytest.mark.parametrize(
    ("batch", "seq", "width", "vocabulary"), [(1, 1, 1, 1), (1, 1, 3, 5), (9, 1, 2, 4), (4, 50, 3, 1)]
)
def test_single_elements_and_a_token_that_is_everywhere(batch: int, seq: int, width: int, vocabulary: int) -> None:
    assert_right(inputs(1, batch, seq, width, torch.float32, vocabulary=vocabulary))


def test_a_vocabulary_round_the_edge_of_a_block_of_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_backward, "BLOCK", 16)
    for vocabulary in (14, 15, 16, 17):
        assert_right(inputs(1, 1, 40, 3, torch.float32, vocabulary=vocabulary))


def test_the_gradient_of_a_tied_unembedding_is_added_before_rounding() -> None:
    given = inputs(2, 3, 21, 24, torch.bfloat16)
    onto = fenced(torch.randn(2, 7, 24).bfloat16())
    exact = by_definition(given, torch.float64)["dtoken_table"] + onto.double()
    plain = by_definition(given, torch.bfloat16)["dtoken_table"] + onto
    assert_accurate("dtoken_table", by_kernels(given, onto=onto)["dtoken_table"], plain, exact)


def test_a_token_out_of_range_gives_a_row_of_nan_and_no_gradient() -> None:
    given = inputs(1, 2, 5, 8, torch.float32)
    given.tokens[0, 0, 1], given.tokens[0, 1, 4] = 7, -1
    actual = by_kernels(given)
    outside = torch.tensor([[False, True, False, False, False], [False, False, False, False, True]])
    assert torch.equal(actual["y"].isnan().all(-1)[0], outside)
    inside = given.dy.double().masked_fill(outside[None, :, :, None], 0.0).flatten(1, 2)
    expected = torch.zeros(1, 7, 8).double()
    expected.index_add_(1, given.tokens.flatten().clamp(0, 6), inside)
    torch.testing.assert_close(actual["dtoken_table"].double(), expected)


def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = inputs(2, 2, 40, 70, torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    given = inputs(3, 2, 40, 24, dtype)
    together = by_kernels(given)
    for k in range(3):
        alone = by_kernels(given.of(slice(k, k + 1)))
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


def test_results_of_an_earlier_call_are_written_again() -> None:
    given = inputs(2, 3, 21, 24, torch.float32)
    y, grads = torch.empty(2, 3, 21, 24), embed_backward.backward(given.dy.neg(), given.tokens, n_vocab=7)
    assert embed.forward(*given[:3], out=y) is y
    assert embed_backward.backward(given.dy, given.tokens, n_vocab=7, out=grads).dtoken_table is grads.dtoken_table
    assert torch.equal(grads.dtoken_table, by_kernels(given)["dtoken_table"])


def test_sizes_that_do_not_match_are_refused() -> None:
    given = inputs(1, 2, 5, 8, torch.float32)
    assert given.position_table is not None
    with pytest.raises(KernelError, match="embed: 5 tokens in a row, and 4 positions in position_table"):
        embed.forward(given.tokens, given.token_table, given.position_table[:, :4].contiguous())
    with pytest.raises(KernelError, match="embed: onto has 7 rows, n_vocab is 8"):
        embed_backward.backward(given.dy, given.tokens, n_vocab=8, onto=given.token_table)
    with pytest.raises(KernelError, match="embed: 5 tokens in a row, and n_positions is 3"):
        embed_backward.backward(given.dy, given.tokens, n_vocab=7, n_positions=3)


def test_counted_bytes_are_those_of_the_formula() -> None:
    given = inputs(1, 2, 8, 64, torch.bfloat16, vocabulary=16)
    given.tokens[:] = torch.randperm(16, generator=torch.Generator().manual_seed(0)).view(1, 2, 8)
    with counted() as forward:
        embed.forward(*given[:3])
    with counted() as backward:
        embed_backward.backward(given.dy, given.tokens, n_vocab=16, n_positions=8)
    counts = tuple(each.read + each.written for each in (forward, backward))
    assert counts == embed.least_bytes(2, 8, 16, 64, 2)
