"""A block over the operators: equal to the definition, for one model and for several, alone and under torch's tools."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import isoflop as iso
from isoflop.errors import KernelError
from isoflop.kernels import FusedBlock, last_dispatch
from isoflop.train.layers import Block
from isoflop.train.parametrisation import Parametrisation
from proof.interpreter import make_bfloat16_honest

make_bfloat16_honest()
NAMES = {
    "norm1.gain": "norm1_gain", "norm1.bias": "norm1_bias", "attention.qkv.weight": "qkv_weight",
    "attention.qkv.bias": "qkv_bias", "attention.proj.weight": "proj_weight", "attention.proj.bias": "proj_bias",
    "norm2.gain": "norm2_gain", "norm2.bias": "norm2_bias", "mlp.fc.weight": "in_weight", "mlp.fc.bias": "in_bias",
    "mlp.proj.weight": "out_weight", "mlp.proj.bias": "out_bias",
}  # fmt: skip
"""Parameter of the trainer's block -> of ours."""

SHAPES = {
    "gpt2": iso.Shape(n_layer=2, d_model=12, n_head=2, n_ctx=8, n_vocab=9),
    "llama": iso.Shape(
        n_layer=2, d_model=12, n_head=3, n_kv_head=1, n_ctx=8, n_vocab=9, norm="rms", activation="swiglu",
        position="rope", bias=False,
    ),
    "relu2": iso.Shape(n_layer=1, d_model=8, n_head=1, n_ctx=8, n_vocab=9, activation="relu2", norm="rms"),
}  # fmt: skip
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


class PlainBlock(Block):
    """The trainer's, of a dense shape: without what experts add."""

    def __init__(self, shape: iso.Shape) -> None:
        super().__init__(shape, 0, Parametrisation("standard"))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


def same(shape: iso.Shape, **settings: Any) -> tuple[FusedBlock, PlainBlock]:
    """A block and the trainer's, with the same parameters."""
    torch.manual_seed(0)
    ours, theirs = FusedBlock(shape, **settings), PlainBlock(shape)
    with torch.no_grad():
        for each in ours.parameters():
            each.add_(torch.randn_like(each) / 8)
    theirs.load_state_dict({name: ours.state_dict()[NAMES[name]] for name in theirs.state_dict()})
    return ours, theirs


def gradients(block: torch.nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = x.clone().requires_grad_()
    y = block(x)
    return y.detach(), list(torch.autograd.grad((y * y.detach().cos()).sum(), [x, *block.parameters()]))


@every_shape
@pytest.mark.parametrize("implementation", ["auto", "reference"])
def test_a_block_equals_the_trainers(shape: iso.Shape, implementation: str) -> None:
    ours, theirs = same(shape, implementation=implementation)
    x = torch.randn(2, 7, shape.d_model)
    y, grads = gradients(ours, x)
    expected_y, expected = gradients(theirs, x)
    torch.testing.assert_close(y, expected_y, rtol=1e-4, atol=1e-5)
    by_name = dict(zip(["x", *(NAMES[name] for name, _ in theirs.named_parameters())], expected, strict=True))
    for name, grad in zip(["x", *(name for name, _ in ours.named_parameters())], grads, strict=True):
        torch.testing.assert_close(
            grad, by_name[name], rtol=1e-3, atol=1e-4, msg=lambda said, name=name: f"{name}: {said}"
        )
    ran = "triton" if implementation == "auto" else "reference"
    assert {last_dispatch()[op] for op in ("norm_qkv", "attention", "linear", "mlp")} == {ran}


def test_a_windowed_block_sees_no_further_than_its_window() -> None:
    shape = iso.Shape(n_layer=1, d_model=8, n_head=2, n_ctx=8, n_vocab=9, window=2)
    block = FusedBlock(shape)
    x = torch.randn(1, 6, 8)
    moved = x.clone()
    moved[0, 1] += 1.0
    apart = (block(x) - block(moved)).abs().amax(-1)[0] > 0
    assert apart.tolist() == [False, True, True, False, False, False]


@every_shape
def test_several_models_in_one_launch_are_each_of_them_alone(shape: iso.Shape) -> None:
    together = FusedBlock(shape, n_model=3)
    x = torch.randn(3, 1, 5, shape.d_model)
    y, grads = gradients(together, x)
    for k in range(3):
        alone = FusedBlock(shape)
        alone.load_state_dict({name: each[k] for name, each in together.state_dict().items()})
        one, ones = gradients(alone, x[k])
        assert torch.equal(y[k], one)
        assert all(torch.equal(grad[k], each) for grad, each in zip(grads, ones, strict=True))


@every_shape
def test_a_state_dict_makes_the_same_block_again(shape: iso.Shape) -> None:
    block, other = FusedBlock(shape), FusedBlock(shape)
    assert sum(each.numel() for each in block.parameters()) == sum(
        each.numel() for each in PlainBlock(shape).parameters()
    )
    other.load_state_dict(block.state_dict())
    x = torch.randn(1, 4, shape.d_model)
    assert torch.equal(block(x), other(x))


@every_shape
def test_a_compiled_block_is_one_graph(shape: iso.Shape) -> None:
    torch._dynamo.reset()
    block = FusedBlock(shape)
    x = torch.randn(1, 5, shape.d_model)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    y, grads = gradients(block, x)
    again, too = gradients(compiled, x)
    assert torch.equal(y, again)
    assert all(torch.equal(a, b) for a, b in zip(grads, too, strict=True))


def test_autocast_runs_a_block_in_bfloat16() -> None:
    ours, theirs = same(SHAPES["gpt2"])
    x = torch.randn(2, 7, 12)
    with torch.autocast(x.device.type, torch.bfloat16):
        y, other = ours(x), theirs(x)
    assert y.dtype == torch.bfloat16
    expected = theirs(x)
    rounding = 2**-8 * expected.abs().max()
    assert (y.float() - expected).abs().max() <= 2 * (other.float() - expected).abs().max() + rounding


def test_a_trace_counts_the_products_of_a_block_as_the_shape_does() -> None:
    shape = SHAPES["gpt2"]
    with iso.trace() as counted:
        FusedBlock(shape)(torch.randn(2, 8, 12))
    assert not counted.uncounted
    d, ff, rows, pairs = shape.d_model, shape.d_ff, 2 * 8, 2 * 8 * 9 // 2
    assert counted.forward.products == 2 * rows * d * (3 * d + d + 2 * ff) + 4 * pairs * d


def test_what_a_block_does_not_take_is_refused_in_words() -> None:
    shape = SHAPES["gpt2"]
    with pytest.raises(
        KernelError, match=r"x has shape \(2, 7, 11\); its axes are \(batch, seq, d_model\), d_model is 12"
    ):
        FusedBlock(shape)(torch.zeros(2, 7, 11))
    with pytest.raises(KernelError, match=r"axes are \(n_model, batch, seq, d_model\), d_model is 12, n_model 3"):
        FusedBlock(shape, n_model=3)(torch.zeros(2, 1, 7, 12))
    with pytest.raises(KernelError, match="n_model is 0; 1 or more"):
        FusedBlock(shape, n_model=0)
    with pytest.raises(KernelError, match=r"no implementation 'reverence'\n  hint: did you mean 'reference'"):
        FusedBlock(shape, implementation="reverence")
    experts = iso.Shape(n_layer=1, d_model=8, n_head=1, n_ctx=8, n_vocab=9, n_expert=4, top_k=1)
    with pytest.raises(KernelError, match="FusedBlock: n_expert is 4; it runs plain decoder blocks"):
        FusedBlock(experts)
