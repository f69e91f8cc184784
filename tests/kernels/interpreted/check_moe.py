"""The kernels of a mixture of experts against its definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import moe, moe_backward, moe_routing, reference
from isoflop.kernels.configurations import table
from isoflop.kernels.moe_routing import route
from isoflop.kernels.moe_slots import count_slots
from isoflop.kernels.signatures import OPS
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
TILES = {
    "moe_route": {"rows": 16, "depth": 16},
    "moe": {"rows": 16, "columns": 32, "depth": 16},
    "moe_weight": {"rows": 16, "columns": 32, "depth": 16},
    "moe_combine": {"rows": 16, "columns": 32},
    "linear": {"rows": 32, "columns": 32, "depth": 16},
    "linear_weight": {"rows": 32, "columns": 32, "depth": 16},
}
# Between the logits of two experts, over the largest of a row: rounding them must not change who is chosen.
APART = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 0.03}


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    with tiles(**TILES):
        yield


class Inputs(NamedTuple):
    x: Tensor
    router: Tensor
    w_in: Tensor
    w_out: Tensor
    dy: Tensor
    dbalance: Tensor
    b_in: Tensor | None = None
    b_out: Tensor | None = None
    shared_in: Tensor | None = None
    shared_out: Tensor | None = None
    shared_b_in: Tensor | None = None
    shared_b_out: Tensor | None = None
    scale: Tensor | None = None
    residual: Tensor | None = None

    def of(self, models: slice) -> Inputs:
        return Inputs(*(None if each is None else each[models] for each in self))

    @property
    def taken(self) -> dict[str, Tensor]:
        """What a mixture takes."""
        held = self._asdict()
        return {name: held[name] for name in held if name not in ("dy", "dbalance") and held[name] is not None}


def inputs(
    models: int, rows: int, width: int, deep: int, experts: int, dtype: torch.dtype, *, kind: str = "gelu"
) -> Inputs:
    """Rows that no rounding sends to another expert: of many drawn, those whose logits all lie apart."""
    draw = partial(torch.randn, models, generator=torch.Generator().manual_seed(rows + width + deep + experts))
    inner = 2 * deep if kind == "swiglu" else deep
    router = draw(experts, width).to(dtype).double()
    drawn = draw(40 * rows + 200, width).to(dtype).double()
    logits = (drawn @ router.mT).sort(-1).values
    clear = (logits.diff(dim=-1) > APART[dtype] * logits.abs().amax(-1, keepdim=True)).all(-1)
    assert (clear.sum(-1) >= rows).all()
    x = torch.stack([of_model[good][:rows] for of_model, good in zip(drawn, clear, strict=True)])
    tensors = [x, router, draw(experts, inner, width), draw(experts, width, deep), draw(rows, width)]
    return Inputs(*(fenced(each.to(dtype)) for each in tensors), fenced(draw() + 2.0))


def with_all_options(given: Inputs, shared: int) -> Inputs:
    """With biases, that many experts which every row passes, a residual, and a scale of logits that moves gates."""
    (models, experts, inner, width), deep = given.w_in.shape, given.w_out.shape[3]
    draw = partial(torch.randn, models, generator=torch.Generator().manual_seed(width + deep))
    sizes = {
        "b_in": (experts, inner), "b_out": (experts, width), "shared_in": (shared, inner, width),
        "shared_out": (shared, width, deep), "shared_b_in": (shared, inner), "shared_b_out": (shared, width),
        "residual": given.x.shape[1:],
    }  # fmt: skip
    drawn = {name: fenced(draw(*size).to(given.x.dtype)) for name, size in sizes.items()}
    return given._replace(**drawn, scale=fenced(0.25 * torch.arange(1, models + 1, dtype=torch.float64)))


def by_kernels(given: Inputs, **settings: Any) -> dict[str, Tensor]:
    taken, back = given.taken, {name: settings[name] for name in ("kind", "renormalise") if name in settings}
    with fenced_empties():
        made = moe.forward(**taken, **settings)
        taken.pop("residual", None)
        gradients = moe_backward.backward(given.dy, **taken, dbalance=given.dbalance, mixture=made, **back)
    told = {"y": made.y, "balance": made.routing.balance, "dropped": made.routing.dropped.long()}
    return told | {f"d{name}": getattr(gradients, f"d{name}") for name in taken if name != "scale"}


def by_definition(given: Inputs, dtype: torch.dtype, **settings: Any) -> dict[str, Tensor]:
    leaves = {name: each.detach().to(dtype).requires_grad_() for name, each in given.taken.items() if name != "scale"}
    order = [each.name for each in OPS["moe"].arguments]
    tensors = [given.scale if name == "scale" else leaves.get(name) for name in order]
    y, balance, dropped = reference.on_models(reference.moe)(*tensors, **settings)
    torch.autograd.backward((y, balance), (given.dy.to(dtype), given.dbalance.to(balance.dtype)))
    gradients = {f"d{name}": each.grad for name, each in leaves.items() if name != "residual"}
    return {"y": y.detach(), "balance": balance.detach(), "dropped": dropped, **gradients}


def assert_right(given: Inputs, **settings: Any) -> dict[str, Tensor]:
    actual, plain = by_kernels(given, **settings), by_definition(given, given.x.dtype, **settings)
    exact = by_definition(given, torch.float64, **settings)
    assert torch.equal(actual["dropped"], exact["dropped"])
    for name in actual.keys() - {"dropped"}:
        assert_accurate(name, actual[name], plain[name], exact[name])
    return actual


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("kind", "renormalise"), [("gelu", True), ("relu2", False), ("swiglu", False)])
def test_every_form_of_a_mixture_matches_its_definition(dtype: torch.dtype, kind: str, renormalise: bool) -> None:
    given = inputs(2, 21, 18, 20, 3, dtype, kind=kind)
    assert_right(given, kind=kind, top_k=2, renormalise=renormalise)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("kind", "shared"), [("gelu", 1), ("swiglu", 2)])
def test_biases_shared_experts_a_residual_and_scaled_logits_match_the_definition(
    dtype: torch.dtype, kind: str, shared: int
) -> None:
    given = with_all_options(inputs(2, 21, 18, 20, 3, dtype, kind=kind), shared)
    assert_right(given, kind=kind, top_k=2, capacity_factor=0.8)


@pytest.mark.parametrize("capacity_factor", [0.1, 0.5, 4.0])
@pytest.mark.parametrize(("top_k", "dtype"), [(1, torch.float32), (3, torch.bfloat16)], ids=str)
def test_choices_beyond_the_capacity_are_dropped_and_counted(
    dtype: torch.dtype, capacity_factor: float, top_k: int
) -> None:
    given = inputs(2, 33, 17, 9, 4, dtype)
    actual = assert_right(given, kind="relu2", top_k=top_k, renormalise=top_k > 1, capacity_factor=capacity_factor)
    assert (actual["dropped"] > 0).tolist() == [capacity_factor < 1.0] * 2


@pytest.mark.parametrize("rows", [15, 16, 17])
@pytest.mark.parametrize(("width", "deep"), [(15, 31), (16, 32), (17, 33), (31, 15), (32, 16), (33, 17)])
def test_sizes_round_the_edge_of_every_tile(rows: int, width: int, deep: int) -> None:
    assert_right(inputs(1, rows, width, deep, 2, torch.bfloat16), kind="gelu", top_k=1)


@pytest.mark.parametrize(("rows", "experts", "top_k"), [(1, 1, 1), (1, 3, 3), (12, 17, 1), (4, 9, 8), (40, 1, 1)])
def test_single_rows_single_experts_and_experts_without_rows(rows: int, experts: int, top_k: int) -> None:
    assert_right(inputs(1, rows, 24, 5, experts, torch.float32), kind="gelu", top_k=top_k, renormalise=True)


def test_many_tiles_of_rows_are_counted_in_their_order() -> None:
    given = inputs(1, 16 * 17 + 1, 8, 3, 2, torch.float32)
    made = route(given.x, given.router, top_k=1)
    for expert in range(2):
        mine = (made.chosen[0, :, 0] == expert).nonzero()[:, 0]
        assert mine.numel() == int(made.sizes[0, expert]) == int(made.totals[0, expert])
        assert torch.equal(made.slots[0, mine, 0], made.starts[0, expert] + torch.arange(mine.numel()))
        assert torch.equal(made.routes[0, made.slots[0, mine, 0].long()], mine.int())


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 1), (torch.bfloat16, 1), (torch.bfloat16, 10_000)])
def test_shipped_tiles_match_the_definition(dtype: torch.dtype, width: int) -> None:
    shipped = {}
    for op in TILES:
        row = next(row for row in table(op, None) if row.serves(None, 8 * dtype.itemsize, width))
        shipped[op] = {name.lower(): value for name, value in row.constants.items()}
    with tiles(**shipped):
        assert_right(inputs(1, 40, 66, 65, 2, dtype), kind="gelu", top_k=1)


def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = inputs(1, 33, 18, 12, 3, torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given, kind="gelu", top_k=2, capacity_factor=0.8))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    given, settings = inputs(3, 20, 18, 12, 3, dtype), {"kind": "gelu", "top_k": 2}
    together = by_kernels(given, **settings)
    for k in range(3):
        alone = by_kernels(given.of(slice(k, k + 1)), **settings)
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


def test_gradients_of_gates_are_those_of_the_definition() -> None:
    given = inputs(1, 21, 18, 12, 4, torch.float32)
    made = moe.forward(*given[:4], kind="gelu", top_k=2)
    dgates = moe_backward.backward(given.dy, *given[:4], mixture=made, kind="gelu").dgates
    experts = zip(given.w_in[0], given.w_out[0], strict=True)
    outputs = torch.stack([reference.mlp(given.x[0], a, None, b, None, kind="gelu") for a, b in experts], 1)
    every = (outputs * given.dy[0][:, None]).sum(-1)
    torch.testing.assert_close(dgates[0], every.gather(1, made.routing.chosen[0].long()), rtol=1e-4, atol=1e-3)


def flat(values: Any) -> list[Tensor]:
    each = [flat(value) if isinstance(value, tuple) else [value] for value in values if value is not None]
    return [tensor for tensors in each for tensor in tensors]


def test_the_room_of_an_earlier_call_is_filled_again() -> None:
    given = with_all_options(inputs(1, 21, 18, 12, 3, torch.float32), 2)
    back = {name: each for name, each in given.taken.items() if name != "residual"}
    made = moe.forward(**given.taken, kind="gelu", top_k=2)
    gradients = moe_backward.backward(given.dy, **back, mixture=made, kind="gelu")
    of_leaves = [f"d{name}" for name in back if name != "scale"]
    room = flat((made, gradients))
    expected = [by.clone() for by in (made.y, *(getattr(gradients, name) for name in of_leaves))]
    for tensor in room:
        tensor.fill_(torch.nan if tensor.is_floating_point() else -1)
    again = moe.forward(**given.taken, kind="gelu", top_k=2, out=made)
    twice = moe_backward.backward(given.dy, **back, mixture=again, kind="gelu", out=gradients)
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(flat((again, twice)), room, strict=True))
    found = again.y, *(getattr(twice, name) for name in of_leaves)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(KernelError, match="moe: gates of out is"):
        moe.forward(**given.taken, kind="gelu", top_k=1, out=made)


@pytest.mark.parametrize(
    ("rows", "experts", "top_k", "capacity", "block"),
    [(7, 3, 2, 7, 4), (12, 3, 2, 5, 4), (3, 9, 1, 3, 4), (9, 2, 2, 9, 1)],
)
def test_slots_are_enough_for_the_worst_routing_and_no_more(
    rows: int, experts: int, top_k: int, capacity: int, block: int
) -> None:
    slots = count_slots(rows, experts, top_k, capacity, block)

    def most(choices: int, left: int) -> int:
        if not left:
            return 0
        takes = range(min(rows, choices) + 1)
        return max(-(-min(take, capacity) // block) * block + most(choices - take, left - 1) for take in takes)

    assert slots == most(rows * top_k, experts)


@pytest.mark.parametrize("kind", ["gelu", "swiglu"])
def test_counted_products_and_bytes_are_those_of_the_formula(kind: str) -> None:
    rows, experts, width, deep = 128, 16, 32, 32
    one = torch.eye(experts, width).bfloat16()
    at = torch.arange(rows) % experts
    x = (2 * one[at] + one[(at + 1) % experts])[None].contiguous()
    inner = 2 * deep if kind == "swiglu" else deep
    draw = partial(torch.randn, 1, experts, dtype=torch.bfloat16)
    given = (x, one[None].contiguous(), draw(inner, width), draw(width, deep))
    sizes = (rows, width, deep, experts, 2 * rows)
    narrow = {"rows": 16, "columns": 16, "depth": 16}
    with tiles(**TILES | {"linear": narrow, "linear_weight": narrow | {"depth": 128}}):
        with counted() as forward:
            made = moe.forward(*given, kind=kind, top_k=2)
        with counted() as backward:
            moe_backward.backward(torch.ones_like(x), *given, mixture=made, kind=kind)
    assert made.routing.sizes.tolist() == [[TILES["moe"]["rows"]] * experts]
    assert (forward.flops, backward.flops) == moe.flops(*sizes, kind=kind)
    assert (forward.moved(2), backward.moved(2)) == moe.least_bytes(*sizes, 2, kind=kind)


def test_counted_bytes_of_routing_are_those_of_the_formula() -> None:
    given = inputs(1, 32, 48, 8, 4, torch.bfloat16)
    with counted() as traffic:
        made = route(given.x, given.router, top_k=2)
    again = [made.chosen, made.sums, made.sizes, made.starts, made.counts]  # read by the kernels that follow
    own = [made.totals, made.dropped, made.balance, made.sums, made.sizes, made.starts, made.counts, made.counts]
    between = sum(each.nbytes for each in (*again, *own)) - made.counts.nbytes
    assert traffic.read + traffic.written == moe_routing.least_bytes(32, 48, 4, 2, 2) + between
