"""No launcher of any op allocates, or reads on the host, once it is given the room of an earlier call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from isoflop.kernels import (
    attention,
    attention_backward,
    block,
    block_backward,
    cross_entropy,
    cross_entropy_backward,
    dropout,
    embed,
    embed_backward,
    heads,
    hidden,
    last_dispatch,
    linear,
    linear_backward,
    mlp,
    mlp_backward,
    moe,
    moe_backward,
    moe_routing,
    norm,
    norm_backward,
    qkv,
    qkv_backward,
)
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.muon import Muon
from isoflop.kernels.noise import GradientNoise
from isoflop.kernels.orthogonal import orthogonalise
from isoflop.kernels.signatures import OPS
from proof.graph_safety import NotReplayed, graph_safe
from proof.tiles import tiles

K, B, T, D, F, V, H, G, C = 2, 2, 5, 8, 12, 7, 2, 1, 4
M = 130  # rows, where they are more than a program of a gradient of weights sums over


def draw(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(sum(size)))


X, ROWS, VECTOR, SQUARE, TABLE = draw(K, B, T, D), draw(K, M, D), draw(K, D), draw(K, D, D), draw(K, V, D)
Q, KEY, LSE = draw(K, B, H, T, C), draw(K, B, G, T, C), draw(K, B, H, T) + 9
LONG = [draw(K, 1, H, M, C), draw(K, 1, G, M, C), draw(K, 1, G, M, C), draw(K, 1, M, D)]
MLP_WEIGHTS = draw(K, F, D), draw(K, F), draw(K, D, F), VECTOR
QKV_WEIGHT, GATED = draw(K, (H + 2 * G) * C, D), draw(K, M, 2 * D)
BLOCK = VECTOR, VECTOR, QKV_WEIGHT, draw(K, (H + 2 * G) * C), SQUARE, VECTOR, VECTOR, VECTOR, *MLP_WEIGHTS
STATISTIC, TOTAL, POSITIONS = draw(K, M).square() + 0.5, torch.full((K,), float(M)), draw(K, T + 1, D)
TARGETS, TOKENS = torch.arange(K * M).view(K, M) % V, torch.arange(K * B * T).view(K, B, T) % V
ROUTER, EXPERTS = draw(K, 3, D), (draw(K, 3, F, D), draw(K, 3, D, F))
NUMBERS, RATE = torch.arange(K), torch.full((K,), 0.5, dtype=torch.float64)
EXPERT_BIASES = draw(K, 3, F), draw(K, 3, D)
MIXTURE_OF = (ROUTER, *EXPERTS, *EXPERT_BIASES, *EXPERTS, *EXPERT_BIASES, RATE)  # as many shared ones
MIXTURE = moe.forward(ROWS, *MIXTURE_OF, ROWS, kind="gelu", top_k=2)
MLP_SETTINGS = {"kind": "gelu", "norm": "layer", "residual": True}
BLOCK_SETTINGS = {"kind": "gelu", "norm": "layer", "n_head": H, "n_kv_head": G}

LAUNCHERS: dict[str, Callable[..., Any]] = {
    "norm": partial(norm.forward, ROWS, VECTOR, VECTOR, kind="layer"),
    "add_norm": partial(norm.forward, ROWS, VECTOR, None, ROWS, kind="rms"),
    "norm_backward": partial(norm_backward.backward, ROWS, ROWS, VECTOR, STATISTIC, STATISTIC, ROWS, has_bias=True),
    "linear": partial(linear.forward, ROWS, SQUARE, VECTOR, ROWS),
    "linear_backward": partial(linear_backward.backward, ROWS, ROWS, SQUARE, has_bias=True),
    "norm_qkv": partial(qkv.forward, X, VECTOR, VECTOR, QKV_WEIGHT, kind="rms", n_head=H, n_kv_head=G, base=100.0),
    "norm_qkv_backward": partial(
        qkv_backward.backward, *LONG, VECTOR, VECTOR, QKV_WEIGHT, None, STATISTIC[:, None], LONG[-1],
        has_bias=True, base=100.0,
    ),
    "attention": partial(attention.forward, Q, KEY, KEY, window=3),
    "attention_backward": partial(attention_backward.backward, Q, Q, KEY, KEY, Q, LSE, window=3),
    "dropout": partial(dropout.forward, ROWS, NUMBERS, NUMBERS, ROWS, NUMBERS, rate=RATE, op=3),
    "activation": partial(hidden.forward, GATED, kind="swiglu"),
    "activation_backward": partial(hidden.backward, ROWS, GATED, kind="swiglu"),
    "mlp": partial(mlp.forward, ROWS, *MLP_WEIGHTS, VECTOR, VECTOR, **MLP_SETTINGS),
    "mlp_backward": partial(mlp_backward.backward, ROWS, ROWS, *MLP_WEIGHTS, VECTOR, VECTOR, **MLP_SETTINGS),
    "moe_route": partial(moe_routing.route, ROWS, ROUTER, RATE, top_k=2, capacity_factor=1.0),
    "moe": partial(moe.forward, ROWS, *MIXTURE_OF, ROWS, kind="gelu", top_k=2),
    "moe_backward": partial(moe_backward.backward, ROWS, ROWS, *MIXTURE_OF, TOTAL, mixture=MIXTURE, kind="gelu"),
    "orthogonalise": partial(orthogonalise, SQUARE),
    "block": partial(block.forward, X, *BLOCK, **BLOCK_SETTINGS),
    "block_backward": partial(block_backward.backward, X, X, X, *BLOCK, **BLOCK_SETTINGS),
    "linear_cross_entropy": partial(cross_entropy.forward, ROWS, TABLE, TARGETS, STATISTIC, gradient=True),
    "argmax_hits": partial(cross_entropy.forward, ROWS, TABLE, TARGETS, hits=True),
    "linear_cross_entropy_backward": partial(
        cross_entropy_backward.backward, ROWS, TABLE, TARGETS, STATISTIC, TOTAL, dmean=TOTAL
    ),
    "embed": partial(embed.forward, TOKENS, TABLE, POSITIONS),
    "embed_backward": partial(
        embed_backward.backward, X, TOKENS, n_vocab=V, n_positions=T + 1, onto=TABLE
    ),
    "join_heads": partial(heads.join_heads, Q),
    "split_heads": partial(heads.split_heads, X.flatten(1, 2), batch=B, heads=H),
}  # fmt: skip
OPTIMIZERS = {"adamw", "muon", "accumulate"}
FUSED_INTO_OTHERS = {"rope"}
OF_THE_CPU = {"scale"}


SMALL = {"rows": 16, "columns": 16, "depth": 16}
TILES = {
    "linear_weight": SMALL,
    "qkv_weight": {"pairs": 16, "columns": 16, "depth": 16},
    "cross_entropy_backward": SMALL,
    "mlp_backward_columns": {"rows": 16, "hidden": 16},
    "partial": {"rows": 4, "columns": 256},
}


@pytest.fixture(autouse=True)
def sums_are_shared_out() -> Iterator[None]:
    """Tiles so small that partial sums of every backward pass have room of their own."""
    with tiles(**TILES):
        yield


def test_these_sizes_share_sums_out() -> None:
    made = {op: LAUNCHERS[op](out=None) for op in LAUNCHERS if op.endswith("backward")}
    parts = {
        "linear_backward": made["linear_backward"].weight_sums,
        "norm_qkv_backward": made["norm_qkv_backward"].products.weight_sums,
        "linear_cross_entropy_backward": made["linear_cross_entropy_backward"].dweight_parts,
        "mlp_backward": made["mlp_backward"].w_in_sums,
    }
    assert all(each is not None and each.shape[1] > 1 for each in parts.values()), parts.keys()


def assert_fills_its_room(op: str) -> None:
    made = LAUNCHERS[op](out=None)
    with graph_safe():
        again = LAUNCHERS[op](out=made)
    for before, after in zip(tree_leaves(made), tree_leaves(again), strict=True):
        assert before is after or before.data_ptr() == after.data_ptr()


@pytest.mark.parametrize("op", LAUNCHERS)
def test_a_launcher_given_the_room_of_an_earlier_call_allocates_nothing(op: str) -> None:
    assert_fills_its_room(op)


@pytest.mark.parametrize(
    "op", ["linear", "linear_backward", "norm_qkv", "norm_qkv_backward", "linear_cross_entropy_backward"]
)
def test_a_launcher_of_torchs_products_allocates_nothing_either(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (linear, qkv, cross_entropy_backward):
        monkeypatch.setattr(module, "library_past", lambda op: 0)
    assert_fills_its_room(op)
    assert last_dispatch()[op] == "library"


@pytest.mark.parametrize("op", LAUNCHERS)
def test_a_launcher_without_room_allocates(op: str) -> None:
    with graph_safe(), pytest.raises(NotReplayed, match=r"aten\.empty"):
        LAUNCHERS[op](out=None)


def test_every_op_is_held_to_it() -> None:
    assert OPS.keys() - OPTIMIZERS - FUSED_INTO_OTHERS - OF_THE_CPU - LAUNCHERS.keys() == set()


def test_an_optimizer_and_its_micro_batches_allocate_nothing() -> None:
    params, grads, sums, first, second = ([SQUARE.clone(), VECTOR.clone()] for _ in range(5))
    hyper = {name: torch.full((K,), 0.5, dtype=torch.float64) for name in OPS["adamw"].hyper}
    step = torch.zeros(K, dtype=torch.int64)
    optimizer = AdamW(
        params, sums, first, [each.square_() for each in second], decayed=[True, False], step=step, **hyper
    )
    noise = GradientNoise(optimizer, grads)
    with graph_safe():
        optimizer.update()
        for part in range(2):
            noise.add(first=part == 0)
        optimizer.update(measured=True)
    assert optimizer.step.tolist() == [2, 2]


def test_muon_allocates_nothing() -> None:
    hyper = {name: torch.full((K,), 0.5, dtype=torch.float64) for name in OPS["muon"].hyper}
    optimizer = Muon([SQUARE.clone()], [SQUARE.clone()], [torch.zeros_like(SQUARE)], **hyper)
    optimizer.update()
    with graph_safe():
        optimizer.update()


@pytest.mark.parametrize(
    "allocate",
    [
        lambda t: torch.empty(3), lambda t: torch.zeros(3), lambda t: torch.full((2,), 1.0), lambda t: torch.arange(4),
        lambda t: torch.tensor([1.0, 2.0]), lambda t: torch.as_tensor([1.0]), lambda t: torch.empty_like(t),
        lambda t: t.new_zeros(2), lambda t: t.clone(), lambda t: t + 1, lambda t: t.double(),
        lambda t: t.to(torch.half), lambda t: t.T.contiguous(), lambda t: t.T.reshape(-1), lambda t: t.sum(),
        lambda t: t[t > 0], lambda t: torch.cat([t, t]), lambda t: torch.sort(t),
        lambda t: torch.add(t, t, out=torch.empty(0)),
    ],
)  # fmt: skip
def test_what_allocates_is_caught(allocate: Callable[[Tensor], object]) -> None:
    given = draw(2, 3)
    with graph_safe(), pytest.raises(NotReplayed):
        allocate(given)


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t[0, 0].item(), lambda t: float(t[0, 0]), lambda t: int(t[0, 0]), lambda t: bool(t[0, 0]),
        lambda t: t.tolist(), lambda t: t.cpu(), lambda t: t.to("cpu"), lambda t: t.numpy(), lambda t: t.nonzero(),
        lambda t: torch.nonzero(t), lambda t: torch.equal(t, t), lambda t: torch.allclose(t, t), lambda t: f"{t}",
        lambda t: t.unique(), lambda t: range(4)[t[0, 0].long()], lambda t: torch.cuda.synchronize(),
        lambda t: t.copy_(torch.empty_like(t, device="meta")), lambda t: 1 if t[0, 0] else 0,
    ],
)  # fmt: skip
def test_what_reads_on_the_host_is_caught(read: Callable[[Tensor], object]) -> None:
    given = draw(2, 3)
    with graph_safe(), pytest.raises(NotReplayed):
        read(given)


def test_a_copy_from_a_device_to_the_host_is_caught() -> None:
    here, there = torch.empty(2), torch.empty(2, device="meta")
    with graph_safe(), pytest.raises(NotReplayed, match="waits for meta"):
        here.copy_(there)


def test_a_result_that_outgrows_its_room_is_caught() -> None:
    room, given = torch.empty(0), draw(2, 3)
    with graph_safe(), pytest.raises(NotReplayed, match="more room than there was"):
        torch.neg(given, out=room)


def test_views_and_writes_into_what_is_there_pass() -> None:
    given, room, order = draw(2, 3), torch.empty(2, 3), torch.empty(2, 3, dtype=torch.int64)
    with graph_safe():
        torch.sort(given, dim=1, stable=True, out=(room, order))
        room.view(3, 2).copy_(given.T).mul_(2.0)
    assert torch.equal(room.view(3, 2), 2 * given.T)
