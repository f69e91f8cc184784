"""Traced counts of small models: exact, beside torch's own counter."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import isoflop as iso  # noqa: E402
from isoflop.errors import SpecError  # noqa: E402
from tracing.models import (  # noqa: E402
    HEADS,
    LAYERS,
    RESNET_REST,
    RESNET_STEM,
    B,
    D,
    Decoder,
    MixtureGrouped,
    MixtureLoop,
    ResNet,
    T,
    V,
    decoder_forward,
    mixture_forward,
    window,
)

CAUSAL = T * (T + 1) // 2
WINDOW = int(window(T, 5).sum())


def tokens() -> torch.Tensor:
    return torch.randint(V, (B, T))


def hidden() -> torch.Tensor:
    return torch.randn(B, T, D)


def run(model: nn.Module, x: torch.Tensor) -> None:
    model(x).float().sum().backward()


def theirs(model: nn.Module, x: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        run(model, x)
    total: int = counter.get_total_flops()
    return total


LLAMA = {"kv_heads": 2, "d_ff": 48, "gated": True}

# Forward products over all pairs, over kept pairs, and as torch's own counter sees them: attention of a CPU is missing.
DECODERS: dict[str, tuple[Callable[[], nn.Module], int, int, int]] = {
    "gpt2": (lambda: Decoder(attention="sdpa"), decoder_forward(T * T), decoder_forward(CAUSAL), decoder_forward(0)),
    "gpt2-manual": (lambda: Decoder(attention="manual"), *3 * (decoder_forward(T * T),)),
    "window": (lambda: Decoder(attention="window"), *map(decoder_forward, (T * T, WINDOW, 0))),
    "llama": (
        lambda: Decoder(attention="sdpa", **LLAMA),
        *(decoder_forward(pairs, **LLAMA) for pairs in (T * T, CAUSAL, 0)),
    ),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_are_counted_exactly_where_torchs_counter_is_not(name: str) -> None:
    make, full, kept, seen = DECODERS[name]
    model, x = make(), tokens()
    with iso.trace(model) as t:
        run(model, x)
    assert (t.forward.products, t.forward.kept) == (full, kept)
    assert (t.backward.products, t.backward.kept) == (2 * full, 2 * kept)
    fused = name != "gpt2-manual"
    assert t.recompute.products == (2 * LAYERS * B * D * T * T if fused else 0)
    assert t.uncounted == {}
    assert theirs(model, x) == 3 * seen


@pytest.mark.parametrize(("make", "share"), [(MixtureLoop, 1.0), (MixtureGrouped, 1 / 33)])
def test_experts_are_counted_whether_looped_or_grouped(make: type[nn.Module], share: float) -> None:
    model, x = make(), hidden().requires_grad_()
    with iso.trace(model) as t:
        run(model, x)
    assert t.forward.products == mixture_forward()
    assert t.backward.products == 2 * mixture_forward()
    assert t.uncounted == {}
    assert theirs(model, x) / (3 * mixture_forward()) == pytest.approx(share, abs=0.001)


def test_the_first_convolution_needs_no_input_gradient() -> None:
    model, images = ResNet(), torch.randn(B, 3, 16, 16)
    with iso.trace(model) as t:
        run(model, images)
    assert t.forward.products == B * (RESNET_STEM + RESNET_REST)
    assert t.backward.products == B * (RESNET_STEM + 2 * RESNET_REST)
    assert t.uncounted == {}


def test_a_depthwise_weight_gradient_is_not_multiplied_by_the_groups() -> None:
    conv, x = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), torch.randn(B, 16, 8, 8)
    with iso.trace(conv) as t:
        run(conv, x)
    assert t.backward.products == t.forward.products == 2 * B * 64 * 16 * 9
    assert theirs(conv, x) > 2 * t.forward.products


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_blocks_are_recomputed_once(reentrant: bool) -> None:
    model = Decoder(attention="manual")
    x = model.tokens(tokens())
    with iso.trace(model) as t:
        for block in model.blocks:
            x = checkpoint(block, x, use_reentrant=reentrant)
        x.sum().backward()
    blocks = decoder_forward(T * T) - 2 * B * T * D * V
    assert t.forward.products == blocks
    assert t.backward.products == 2 * blocks
    # The non-reentrant form stops once all that the backward pass needs is made: the last product is not.
    last = 0 if reentrant else LAYERS * 2 * B * T * 4 * D * D
    assert t.recompute.products == blocks - last
    tree = t.tree()
    assert tree["blocks.0"].products == tree["blocks.1"].products == t.total.products / LAYERS


def test_double_backward_is_not_taken_for_recompute() -> None:
    layer, x = nn.Linear(D, D), hidden().requires_grad_()
    with iso.trace(layer) as t:
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
    assert t.recompute == iso.tracing.Cost()
    assert t.backward.products >= 3 * t.forward.products


@pytest.mark.parametrize("form", [{"fused": True}, {"foreach": True}, {"foreach": False}])
@pytest.mark.parametrize(("decay", "flops"), [(0.1, 14), (0.0, 13)])
def test_an_adamw_step_is_14_flops_a_parameter_in_every_form(form: dict[str, bool], decay: float, flops: int) -> None:
    model = nn.Linear(D, D)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=decay, **form)
    run(model, hidden())
    optimizer.step()
    with iso.trace(model) as t:
        optimizer.step()
    step_counters = 2
    assert t.optimizer.vector == flops * (D * D + D) + step_counters
    assert t.total == t.optimizer
    assert t.optimizer.bytes >= 7 * 4 * (D * D + D)
    assert t.uncounted == {}


def test_the_tree_adds_up_forward_and_backward() -> None:
    model, x = Decoder(attention="sdpa"), tokens()
    with iso.trace(model) as t:
        run(model, x)
    tree = t.tree()
    assert tree[""] == t.total
    head = 3 * 2 * B * T * D * V
    assert tree["head"].products == head
    assert tree["blocks"].products == t.total.products - head
    assert tree["blocks.1.up"].products == 3 * 2 * B * T * 4 * D * D
    assert "blocks.0" in t.table(depth=2).replace("  blocks\n", "") or "0 " in t.table(depth=2)


def test_modules_are_left_as_they_were_even_after_an_error() -> None:
    model = Decoder(attention="sdpa")
    before = [dict(module.__dict__) for module in model.modules()]
    with pytest.raises(IndexError), iso.trace(model):
        model(torch.full((1, 1), V))
    assert [dict(module.__dict__) for module in model.modules()] == before
    with iso.trace(model) as t:
        model(tokens())
    assert t.forward.products == decoder_forward(T * T)


def test_costs_are_read_inside_the_block_too_and_blocks_add_up() -> None:
    model, x = Decoder(attention="manual"), tokens()
    t = iso.trace(model)
    with t:
        model(x)
        assert t.forward.products == decoder_forward(T * T)
        model(x)
    with t:
        model(x)
    assert t.forward.products == 3 * decoder_forward(T * T)


def test_a_trace_does_not_change_what_is_computed() -> None:
    model, x = Decoder(attention="sdpa"), tokens()
    run(model, x)
    plain = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with iso.trace(model):
        run(model, x)
    assert all(torch.equal(a, p.grad) for a, p in zip(plain, model.parameters(), strict=True))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_inference_is_counted_like_training(context: Callable[[], object]) -> None:
    model, x = Decoder(attention="sdpa"), tokens()
    with iso.trace(model) as t, context():  # type: ignore[attr-defined]
        model(x)
    assert (t.forward.products, t.forward.kept) == (decoder_forward(T * T), decoder_forward(CAUSAL))
    assert t.uncounted == {}


PRODUCTS: dict[str, tuple[Callable[[], object], int]] = {
    "mm": (lambda: torch.mm(torch.ones(2, 3), torch.ones(3, 5)), 60),
    "addmm": (lambda: torch.addmm(torch.ones(5), torch.ones(2, 3), torch.ones(3, 5)), 60),
    "bmm": (lambda: torch.bmm(torch.ones(7, 2, 3), torch.ones(7, 3, 5)), 420),
    "baddbmm": (lambda: torch.baddbmm(torch.ones(5), torch.ones(7, 2, 3), torch.ones(7, 3, 5)), 420),
    "addbmm": (lambda: torch.addbmm(torch.ones(2, 5), torch.ones(7, 2, 3), torch.ones(7, 3, 5)), 420),
    "matmul 4d": (lambda: torch.ones(7, 4, 2, 3) @ torch.ones(4, 3, 5), 1680),
    "matmul vectors": (lambda: torch.ones(3) @ torch.ones(3), 6),
    "matmul vector": (lambda: torch.ones(2, 3) @ torch.ones(3), 12),
    "einsum": (lambda: torch.einsum("bik,bkj->bij", torch.ones(7, 2, 3), torch.ones(7, 3, 5)), 420),
    "linear": (lambda: nn.functional.linear(torch.ones(4, 2, 3), torch.ones(5, 3), torch.ones(5)), 240),
    "scaled_mm": (
        lambda: torch._scaled_mm(
            torch.ones(16, 32).to(torch.float8_e4m3fn),
            torch.ones(48, 32).to(torch.float8_e4m3fn).T,
            torch.ones(()),
            torch.ones(()),
            out_dtype=torch.bfloat16,
        ),
        2 * 16 * 32 * 48,
    ),
    "conv1d": (lambda: nn.functional.conv1d(torch.ones(2, 3, 10), torch.ones(5, 3, 3)), 2 * 2 * 8 * 45),
    "conv3d": (lambda: nn.functional.conv3d(torch.ones(1, 2, 4, 4, 4), torch.ones(3, 2, 2, 2, 2)), 2 * 27 * 48),
}


@pytest.mark.parametrize("context", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_is_two_flops_a_multiply_add(name: str, context: Callable[[], object]) -> None:
    call, flops = PRODUCTS[name]
    with iso.trace() as t, context():  # type: ignore[attr-defined]
        call()
    assert t.total.products == flops
    assert t.uncounted == {}


def test_a_boolean_mask_may_differ_between_sequences_and_heads() -> None:
    q = torch.randn(B, HEADS, T, 8)
    mask = torch.rand(B, 1, T, T) < 0.5
    with iso.trace() as t:
        nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)
    assert t.total.kept == 2 * 2 * 8 * HEADS * int(mask.sum())
    assert t.total.products == 2 * 2 * 8 * B * HEADS * T * T


def test_what_has_no_formula_is_reported_with_its_elements() -> None:
    with iso.trace() as t:
        torch.linalg.inv(torch.eye(4) + torch.ones(3, 4, 4))
    assert t.total.products == 0
    assert sum(entry.elements for entry in t.uncounted.values()) >= 3 * 16
    assert all(entry.calls == 1 for entry in t.uncounted.values())
    assert "not counted: aten::" in t.table()


def test_views_compute_and_move_nothing() -> None:
    x = torch.ones(4, 6)
    with iso.trace() as t:
        x.view(2, 12).transpose(0, 1)[1:].detach().unsqueeze(0).expand(3, 11, 2)
        torch.empty(7)
    assert t.total == iso.tracing.Cost()
    assert t.uncounted == {}


def test_elementwise_operations_have_their_stated_costs() -> None:
    x = torch.ones(10)
    with iso.trace() as t:
        torch.addcmul(x, x, x)
        nn.functional.silu(x)
        x.add_(1.0)
        x.sum()
    assert t.total.vector == 10 * (3 + 4 + 1 + 1)
    assert t.graph.by("kind")["elementwise"].bytes == 4 * (10 * (3 + 1) + 10 * 2 + 10 * 2)


@pytest.mark.parametrize("wrong", [torch.ones, "model", 3])
def test_a_trace_of_something_else_is_refused(wrong: object) -> None:
    with pytest.raises(SpecError, match=r"a trace is of a torch\.nn\.Module"):
        iso.trace(wrong)  # type: ignore[arg-type]


def test_a_running_trace_is_not_entered_again() -> None:
    t = iso.trace()
    with t, pytest.raises(SpecError, match="runs already"), t:
        pass
