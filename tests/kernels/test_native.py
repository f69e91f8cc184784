"""The ops of the CPU against their definitions in float64: every instruction set that this machine runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop import _core
from isoflop.errors import KernelError
from isoflop.kernels import buffers as made_by
from isoflop.kernels import reference
from isoflop.kernels.native import adamw, attention, cross_entropy, dropout, embed, heads, norm
from isoflop.kernels.native.call import use
from native_cases import Case, Tensors, cases

CASES = list(cases())
EPSILON = torch.finfo(torch.float32).eps


class Guards:
    """Memory between two walls; all of it is ones at first, in every bit, which is NaN to floats."""

    WALL = 136  # bytes: no multiple of any vector

    def __init__(self) -> None:
        self.built: list[Tensor] = []

    def empty(self, *shape: int, dtype: torch.dtype, device: object = None) -> Tensor:
        size = math.prod(shape) * dtype.itemsize
        bytes_ = torch.full((size + 2 * self.WALL,), 255, dtype=torch.uint8)
        self.built.append(bytes_)
        return bytes_[self.WALL : self.WALL + size].view(dtype).view(shape)

    def place(self, tensor: Tensor) -> Tensor:
        return self.empty(*tensor.shape, dtype=tensor.dtype).copy_(tensor)

    def check(self) -> None:
        for bytes_ in self.built:
            assert bool((bytes_[: self.WALL] == 255).all() and (bytes_[-self.WALL :] == 255).all())


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guards]:
    """Every result of a launcher is between walls, which stand when the test is done."""
    guards = Guards()
    monkeypatch.setattr(made_by, "torch", SimpleNamespace(empty=guards.empty))
    yield guards
    guards.check()


def given(case: Case, models: int = 1) -> Tensors:
    each = [case.inputs(torch.Generator().manual_seed(seed)) for seed in range(models)]
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def define(case: Case, tensors: Tensors, dtype: torch.dtype) -> Tensors:
    one = {name: each[0].to(dtype) if each.is_floating_point() else each[0] for name, each in tensors.items()}
    return {name: each.detach()[None].double() for name, each in case.definition(one).items()}


def error(made: Tensor, exact: Tensor) -> float:
    return float((made.double() - exact).abs().max())


def check_errors(case: Case, guards: Guards, dtype: torch.dtype, least: float) -> None:
    tensors = given(case)
    made = case.native({name: guards.place(each) for name, each in tensors.items()})
    exact, usual = define(case, tensors, torch.float64), define(case, tensors, dtype)
    assert made.keys() == exact.keys()
    largest = max(float(each.abs().max()) for each in exact.values())
    for name, result in made.items():
        bound = 2 * error(usual[name], exact[name]) + least * largest
        assert error(result, exact[name]) <= bound, name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("isa", _core.usable_isas())
def test_errors_are_at_most_twice_those_of_torch(case: Case, isa: str, guards: Guards) -> None:
    with use(instruction_set=isa):
        check_errors(case, guards, torch.float32, 4 * EPSILON)


@pytest.mark.parametrize("case", [case for case in CASES if case.in_bfloat16], ids=lambda case: case.name)
@pytest.mark.parametrize("isa", _core.usable_isas())
def test_errors_of_bfloat16_products_are_at_most_twice_those_of_torch_in_bfloat16(
    case: Case, isa: str, guards: Guards
) -> None:
    with use(instruction_set=isa, products="bfloat16"):
        check_errors(case, guards, torch.bfloat16, 2.0**-7)


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES[:: len(CASES) // 25], ids=lambda case: case.name)
@pytest.mark.parametrize("isa", _core.usable_isas())
def test_three_models_in_a_call_have_the_bits_of_three_calls(case: Case, isa: str, products: str) -> None:
    tensors = given(case, models=3)
    with use(instruction_set=isa, products=products):
        together = case.native(tensors)
        for model in range(3):
            alone = case.native({name: each[model : model + 1].clone() for name, each in tensors.items()})
            for name, each in alone.items():
                assert torch.equal(together[name][model : model + 1], each), name


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 4, 33, 16), (2, 2, 3, 33)])
def test_heads_are_the_memory_of_their_rows(sizes: tuple[int, ...]) -> None:
    batch, heads_, seq, width = sizes
    rows = torch.randn(2, batch * seq, heads_ * width)
    apart = heads.split_heads(rows, batch=batch, heads=heads_)
    assert torch.equal(apart, rows.view(2, batch, seq, heads_, width).transpose(2, 3))
    assert heads.join_heads(apart).data_ptr() == rows.data_ptr()
    assert torch.equal(heads.join_heads(apart), rows)


@pytest.mark.parametrize(("n_head", "n_kv_head"), [(1, 1), (4, 2)])
def test_a_projection_is_the_memory_of_its_rows(n_head: int, n_kv_head: int) -> None:
    rows = torch.randn(2, 3, 5, (n_head + 2 * n_kv_head) * 6)
    q, k, v = heads.split_projection(rows, n_head, n_kv_head)
    apart = rows.unflatten(-1, (-1, 6)).transpose(2, 3)
    assert torch.equal(torch.cat([q, k, v], 2), apart)
    assert torch.equal(heads.join_projection(q, k, v), rows)
    with pytest.raises(KernelError, match="do not lie beside each other"):
        heads.join_projection(q, v, k)
    with pytest.raises(KernelError, match="do not lie beside each other"):
        heads.join_projection(q.contiguous(), k.contiguous(), v.contiguous())


@pytest.mark.parametrize("size", [1, 15, 16, 17, 130, 5000])
@pytest.mark.parametrize("isa", _core.usable_isas())
def test_dropout_has_the_bits_of_its_definition(size: int, isa: str, guards: Guards) -> None:
    x, rate = torch.randn(3, size), torch.tensor([0.0, 0.1, 0.75], dtype=torch.float64)
    seed, step = torch.tensor([5, -1, 2**62]), torch.tensor([0, 1, 10**6])
    with use(instruction_set=isa):
        y = dropout.forward(guards.place(x), seed, step, rate, op=3)
    assert torch.equal(y, reference.on_models(reference.dropout)(x, seed, step, rate, op=3))


def test_dropout_of_a_part_drops_what_is_dropped_of_the_whole() -> None:
    x, rate = torch.randn(1, 1000), torch.tensor([0.3], dtype=torch.float64)
    key = torch.tensor([7]), torch.tensor([9])
    whole = dropout.forward(x, *key, rate, op=0)
    part = dropout.forward(x[:, 333:].contiguous(), *key, rate, op=0, start=torch.tensor([333]))
    assert torch.equal(part, whole[:, 333:])


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x, rate = torch.ones(1, 1_000_000), torch.tensor([0.1], dtype=torch.float64)
    masks = [
        dropout.forward(x, torch.tensor([1]), torch.tensor([step]), rate, op=op) for step in (0, 1) for op in (0, 1)
    ]
    for mask in masks:
        assert abs(float((mask == 0).double().mean()) - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 1e6)
    for other in masks[1:]:  # of two masks both are nought at a hundredth of the places
        both = float(((masks[0] == 0) & (other == 0)).double().mean())
        assert abs(both - 0.01) < 4 * math.sqrt(0.01 * 0.99 / 1e6)


def adamw_state(size: int, slots: int, generator: torch.Generator) -> dict[str, Any]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "params": draw(2, size), "grads": draw(2, slots, size), "first": draw(2, size),
        "second": draw(2, size).square(), "step": torch.tensor([0, 7]),
        "hyper": torch.tensor([[0.1, 0.9, 0.95, 1e-8, 0.1, 1.0], [1e-3, 0.8, 0.999, 1e-6, 0.0, math.inf]]).double(),
        "decayed": torch.tensor([[[0, size // 3], [size // 2, size]]] * 2),
    }  # fmt: skip


def expected_update(state: dict[str, Any], model: int) -> tuple[list[Tensor], ...]:
    size = state["params"].shape[1]
    cuts = [0, size // 3, size // 2, size]
    pieces = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    grads = state["grads"].double().sum(1)
    cut = [
        [each[model].double()[piece] for piece in pieces]
        for each in (state["params"], grads, state["first"], state["second"])
    ]
    names = ("lr", "beta1", "beta2", "eps", "weight_decay", "clip")
    hyper = dict(zip(names, state["hyper"][model], strict=True))
    made = reference.adamw(*cut, decayed=[True, False, True], step=state["step"][model] + 1, **hyper)
    return made[0], made[1], made[2], [made[3]]


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("size", [6, 15, 16, 17, 130, 9000])
@pytest.mark.parametrize("isa", _core.usable_isas())
def test_an_update_is_that_of_the_definition(size: int, slots: int, isa: str, guards: Guards) -> None:
    state = adamw_state(size, slots, torch.Generator().manual_seed(size))
    wanted = [expected_update(state, model) for model in range(2)]
    held = {name: guards.place(each) for name, each in state.items()}
    with use(instruction_set=isa):
        squares = adamw.squares(held["grads"])
        norms = adamw.update(squares=squares[:, None], **held)
        adamw.advance(held["step"])
    assert held["step"].tolist() == [1, 8]
    exact = torch.cat((state["grads"].double().sum(1, keepdim=True), state["grads"].double()), 1).square().sum(2)
    assert torch.allclose(squares, exact, rtol=1e-6)
    for model, (params, first, second, norm_) in enumerate(wanted):
        for made, pieces in ((held["params"], params), (held["first"], first), (held["second"], second)):
            assert error(made[model], torch.cat(pieces)) <= 1e-6 * float(torch.cat(pieces).abs().max())
        assert float(norms[model]) == pytest.approx(float(norm_[0]), rel=1e-6)


def test_an_update_in_chunks_has_the_bits_of_one_of_all() -> None:
    state = adamw_state(8192, 2, torch.Generator().manual_seed(0))
    alone = {name: each[:1] for name, each in state.items()}
    whole = {name: each.clone() for name, each in alone.items()}
    by_chunk = [adamw.squares(alone["grads"][:, :, at : at + 4096]) for at in (0, 4096)]
    squares = torch.stack(by_chunk, 1)
    adamw.update(squares=squares, **whole)
    for at in (0, 4096):
        there = {name: alone[name][..., at : at + 4096] for name in ("params", "grads", "first", "second")}
        adamw.update(squares=squares, **alone | there | {"decayed": alone["decayed"] - at})
    for name in ("params", "first", "second"):
        assert torch.equal(alone[name], whole[name]), name


@pytest.mark.parametrize("isa", _core.usable_isas())
def test_tokens_and_labels_out_of_range_are_not_numbers(isa: str) -> None:
    x, weight = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    with use(instruction_set=isa):
        loss = cross_entropy.forward(x, weight, torch.tensor([[0, 5, -100]]), gradient=True)
        rows = embed.forward(torch.tensor([[[0, 5, -1]]]), weight)
    assert loss.losses.isnan().tolist() == [[False, True, False]]
    assert bool(loss.mean.isnan())
    assert loss.dx is not None
    assert bool(loss.dx.isnan().all(-1).tolist() == [[False, True, False]])
    assert rows.isnan().all(-1).tolist() == [[[False, True, True]]]


def test_a_tied_table_is_added_to_in_place() -> None:
    dy, tokens, held = torch.randn(1, 2, 3, 8), torch.randint(5, (1, 2, 3)), torch.randn(1, 5, 8)
    wanted = embed.backward(dy, tokens, n_vocab=5, onto=held).dtoken_table
    made = embed.backward(dy, tokens, n_vocab=5, onto=held, out=embed.Gradients(held, None))
    assert made.dtoken_table is held
    assert torch.equal(held, wanted)


def test_what_a_native_op_cannot_take_is_refused_in_words() -> None:
    x = torch.randn(1, 2, 4)
    with pytest.raises(
        KernelError, match=r"norm: the native op takes float32 tensors on the host, not bfloat16 on cpu"
    ):
        norm.forward(x.bfloat16(), torch.ones(1, 4).bfloat16(), kind="rms")
    with pytest.raises(KernelError, match=r"there is no norm 'lager'\n  hint: did you mean 'layer'"):
        norm.forward(x, torch.ones(1, 4), kind="lager")
    with pytest.raises(KernelError, match=r"share is \(2,\); needed: \(1,\) float32"):
        cross_entropy.forward(x, torch.ones(1, 3, 4), torch.zeros(1, 2).long(), share=torch.ones(2))
    with pytest.raises(KernelError, match=r"targets\[0, 1\] is 3; labels are 0 to 2"):
        cross_entropy.forward(x, torch.ones(1, 3, 4), torch.tensor([[0, 3]]), check_labels=True)
    q = torch.randn(1, 1, 3, 4, 8)
    with pytest.raises(KernelError, match=r"3 query heads are no multiple of 2 key heads"):
        attention.forward(q, q[:, :, :2].contiguous(), q[:, :, :2].contiguous())
