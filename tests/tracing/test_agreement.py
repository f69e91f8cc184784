"""The same step counted four ways: from its Shape in C++, as it runs, on meta tensors, from an exported graph."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")

from torch._functorch.aot_autograd import aot_export_module  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

import isoflop as iso  # noqa: E402
from isoflop import Shape, flops  # noqa: E402
from isoflop.counting import Pairs  # noqa: E402
from isoflop.errors import SpecError  # noqa: E402
from isoflop.tracing import Trace, graph_of, walk  # noqa: E402
from isoflop.train.model import Transformer  # noqa: E402
from shapes import LLAMA  # noqa: E402

BATCH = 3
SHAPES = {
    "gpt2": Shape(n_layer=2, d_model=32, n_head=4, n_ctx=16, n_vocab=50),
    "llama": Shape(n_layer=2, d_model=32, n_head=4, n_kv_head=2, n_ctx=16, n_vocab=50, **LLAMA),
    "one-head": Shape(n_layer=1, d_model=24, n_head=1, n_ctx=7, n_vocab=11, d_ff=40, d_head=8, activation="relu2"),
}


@pytest.fixture(params=SHAPES, ids=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


@pytest.fixture
def model(shape: Shape) -> Transformer:
    return Transformer(shape)


@pytest.fixture
def tokens(shape: Shape) -> torch.Tensor:
    return torch.randint(shape.n_vocab, (BATCH, shape.n_ctx))


def assert_same(t: Trace, shape: Shape) -> None:
    """Forward, backward and recomputed products of all pairs and of causal ones."""
    expected = graph_of(shape, batch=BATCH)
    for phase in ("forward", "backward", "recompute"):
        assert t.graph.cost(phase=phase)[:2] == expected.cost(phase=phase)[:2], phase
    assert t.uncounted == {}


def test_a_shapes_graph_is_its_terms(shape: Shape) -> None:
    graph, counted = graph_of(shape, batch=BATCH), flops(shape, batch=BATCH)
    forward, backward = graph.cost(phase="forward"), graph.cost(phase="backward")
    assert forward.products == sum(counted.terms_over(Pairs.FULL).values())
    assert forward.kept == sum(counted.terms_over(Pairs.CAUSAL).values())
    assert (backward.products, backward.kept) == (2 * forward.products, 2 * forward.kept)
    assert graph.cost(phase="optimizer").vector == 14 * shape.n_params


def test_a_running_model_agrees_with_its_shape(shape: Shape, model: Transformer, tokens: torch.Tensor) -> None:
    with iso.trace(model) as t:
        model(tokens, tokens).backward()
    assert_same(t, shape)
    traced, expected = t.tree(), graph_of(shape, batch=BATCH).tree()
    assert {name: cost[:2] for name, cost in expected.items() if cost.products} == {
        name: cost[:2] for name, cost in traced.items() if cost.products
    }


def test_meta_tensors_agree_with_the_shape(shape: Shape, model: Transformer, tokens: torch.Tensor) -> None:
    sizes = ("int64", *tokens.shape)
    assert_same(iso.trace_meta(model, sizes, sizes, backward=True), shape)
    assert all(parameter.device.type == "cpu" and parameter.grad is None for parameter in model.parameters())


def test_an_exported_program_agrees_with_the_shape(shape: Shape, model: Transformer, tokens: torch.Tensor) -> None:
    t = walk(torch.export.export(model, (tokens, tokens)))
    expected = graph_of(shape, batch=BATCH)
    assert t.forward[:2] == expected.cost(phase="forward")[:2]
    assert t.tree()["blocks.0"][:2] == forward_of(expected, "blocks.0")
    assert t.uncounted == {}


def forward_of(graph: iso.tracing.Graph, module: str) -> tuple[float, float]:
    rows = [row.cost for row in graph.rows() if row.phase == "forward" and row.module.startswith(module)]
    return sum(cost.products for cost in rows), sum(cost.kept for cost in rows)


def test_a_traced_graph_of_both_passes_agrees_with_the_shape(
    shape: Shape, model: Transformer, tokens: torch.Tensor
) -> None:
    def step(parameters: dict[str, torch.Tensor], tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = torch.func.functional_call(model, parameters, (tokens, tokens))
        return loss, *torch.autograd.grad(loss, list(parameters.values()))

    parameters = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}
    graph = make_fx(step, tracing_mode="fake")(parameters, tokens)
    assert_same(walk(graph, forward_outputs=1), shape)
    with pytest.raises(SpecError, match="forward_outputs is 99"):
        walk(graph, forward_outputs=99)


def test_a_joint_graph_agrees_with_the_shape(shape: Shape, model: Transformer, tokens: torch.Tensor) -> None:
    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.model(tokens, tokens),)

    joint, _ = aot_export_module(Loss(), (tokens,), trace_joint=True, output_loss_index=0)
    assert_same(walk(joint, forward_outputs=1), shape)


def test_dynamic_sizes_are_those_of_the_export(model: Transformer, shape: Shape, tokens: torch.Tensor) -> None:
    batch = torch.export.Dim("batch", min=2, max=64)
    t = walk(torch.export.export(model, (tokens, tokens), dynamic_shapes=({0: batch}, {0: batch})))
    assert t.forward[:2] == graph_of(shape, batch=BATCH).cost(phase="forward")[:2]


def test_a_mask_on_meta_tensors_keeps_every_pair() -> None:
    def masked(q: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)

    t = iso.trace_meta(masked, (2, 4, 8, 16), ("bool", 8, 8))
    assert t.total.kept == t.total.products == 2 * 2 * 16 * 2 * 4 * 8 * 8


def test_a_model_far_larger_than_memory_is_counted_on_meta_tensors() -> None:
    shape = Shape(n_layer=2, d_model=16384, n_head=128, n_ctx=8192, n_vocab=128256, **LLAMA)
    sizes = ("int64", 512, 8192)
    t = iso.trace_meta(lambda x, y: Transformer(shape)(x, y), sizes, sizes)
    assert t.forward[:2] == graph_of(shape, batch=512).cost(phase="forward")[:2]
    assert t.uncounted == {}


@pytest.mark.parametrize("wrong", [3, (2.5,), (-1,), ("flaot32", 3), "ab", (True,)])
def test_what_is_no_shape_is_refused(wrong: object) -> None:
    with pytest.raises(SpecError, match="is no shape"):
        iso.trace_meta(torch.sin, wrong)


def test_a_backward_pass_of_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="no output has gradients"):
        iso.trace_meta(lambda x: x.argmax(), (4,), backward=True)


def test_what_is_no_graph_is_refused(model: Transformer) -> None:
    with pytest.raises(SpecError, match="a Transformer is no graph"):
        walk(model)
    symbolic = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(SpecError, match="calls a module"):
        walk(symbolic)
