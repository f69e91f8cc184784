"""What is dropped by chance, by itself and of the weights of attention, against the definitions, in the interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import attention, attention_backward, dropout, reference
from isoflop.kernels.signatures import Chance
from proof.interpreter import fenced, fenced_empties, make_bfloat16_honest
from proof.tiles import tiles

make_bfloat16_honest()

CHANCE = Chance(
    rate=torch.tensor([0.5, 0.0, 0.1], dtype=torch.float64), seed=torch.tensor([3, -1, 2**62]),
    step=torch.tensor([0, 9, 2**33]), start=torch.tensor([0, 2**31, 5]), op=1,
)  # fmt: skip


def draw(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return fenced(torch.randn(*size, generator=torch.Generator().manual_seed(sum(size))).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("with_residual", [False, True])
def test_the_elements_of_the_definition_are_dropped(dtype: torch.dtype, with_residual: bool) -> None:
    x, residual = draw(3, 7, 43, dtype=dtype), draw(3, 7, 43, dtype=dtype) if with_residual else None
    with tiles(adamw={"block": 128}), fenced_empties():
        y = dropout.forward(x, CHANCE.seed, CHANCE.step, residual, CHANCE.start, rate=CHANCE.rate, op=CHANCE.op)
    by = (CHANCE.seed, CHANCE.step, torch.zeros(3) if residual is None else residual.float(), CHANCE.start)
    expected = reference.on_models(reference.dropout)(x.float(), *by, rate=CHANCE.rate, op=CHANCE.op)
    assert torch.equal(y, expected.to(dtype))
    assert (expected[0] == (0 if residual is None else residual[0].float())).float().mean() > 0.4


def test_a_start_that_is_not_given_is_nought() -> None:
    x, by = draw(3, 20), {"rate": CHANCE.rate, "op": 2}
    starts = None, torch.zeros(3, dtype=torch.int64)
    assert torch.equal(*(dropout.forward(x, CHANCE.seed, CHANCE.step, None, each, **by) for each in starts))


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("shared", [1, 2])
def test_weights_are_dropped_as_the_definition_does(window: int | None, shared: int) -> None:
    seq, width = 37, 8
    q, dy = draw(3, 2, 2, seq, width), draw(3, 2, 2, seq, width)
    k, v = draw(3, 2, 2 // shared, seq, width), 2 * draw(3, 2, 2 // shared, seq, width)
    scales, block = torch.tensor([0.3, 0.5, 0.1], dtype=torch.float64), {"rows": 16, "columns": 16}
    with tiles(attention=block | {"sdpa_past": 1}, attention_dq=block, attention_dkdv=block), fenced_empties():
        y, lse = attention.forward(q, k, v, window=window, scale=scales, chance=CHANCE)
        made = attention_backward.backward(dy, q, k, v, y, lse, window=window, scale=scales, chance=CHANCE)
    leaves = [each.double().requires_grad_() for each in (q, k, v)]
    for model in range(3):
        expected = reference.dropped_attention(
            *(each[model] for each in leaves), *(each[model] for each in (CHANCE.seed, CHANCE.step, CHANCE.start)),
            rate=CHANCE.rate[model], op=CHANCE.op, window=window, scale=float(scales[model]),
        )  # fmt: skip
        torch.testing.assert_close(y[model].double(), expected, atol=1e-5, rtol=1e-5)
        expected.backward(dy[model].double())
    for grad, leaf in zip(made[:3], leaves, strict=True):
        torch.testing.assert_close(grad.double(), leaf.grad, atol=2e-5, rtol=1e-5)
    with pytest.raises(KernelError, match="'sdpa' drops no weights"):
        attention.forward(q, k, v, chance=CHANCE, backend="sdpa")
