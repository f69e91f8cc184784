"""The kernels as operators of torch, in the interpreter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import isoflop as iso
from isoflop.errors import KernelError
from isoflop.kernels import attention as attention_kernel
from isoflop.kernels import last_dispatch, norm, operators, qkv, reference
from isoflop.kernels.signatures import OPS
from proof.interpreter import make_bfloat16_honest
from proof.operators import CASES, B, C, Case, D, G, H, K, T, gradients, leaves

make_bfloat16_honest()
each_op = pytest.mark.parametrize("case", {case.op: case for case in CASES.values()}.values(), ids=lambda case: case.op)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def assert_equal(ours: Any, theirs: Any, **tolerances: float) -> None:
    torch.testing.assert_close(ours, theirs, **({"rtol": 1e-4, "atol": 1e-5} | tolerances))


@every_case
def test_results_and_gradients_are_those_of_the_definition(case: Case) -> None:
    ours = gradients(case, getattr(operators, case.op))
    theirs = gradients(case, reference.on_models(getattr(reference, case.op)))
    assert_equal(ours, theirs)
    assert last_dispatch()[case.op] == "triton"


@every_case
def test_the_way_past_the_dispatcher_gives_the_same_bits(case: Case) -> None:
    direct = gradients(case, getattr(operators, case.op))
    with iso.trace() as counted:
        through = gradients(case, getattr(operators, case.op))
    assert not counted.uncounted
    for ours, theirs in zip((*direct[0], *direct[1]), (*through[0], *through[1]), strict=True):
        assert torch.equal(ours, theirs)


class Recorded:
    """Every call of an operator while a trace sees them: its name and arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def see(self, case: Case) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode

        calls = self.calls

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                if func.namespace == "isoflop":
                    calls.append((func._schema.name.partition("::")[2], args))
                return func(*args, **(kwargs or {}))

        with Mode():
            gradients(case, getattr(operators, case.op))


@every_case
def test_operators_pass_torchs_own_checks_forward_and_backward(case: Case) -> None:
    seen = Recorded()
    seen.see(case)
    assert [name for name, _ in seen.calls] == [case.op, f"{case.op}_backward"]
    for (name, args), grad in zip(seen.calls, (True, False), strict=True):
        given = [
            each.detach().requires_grad_(grad and each.is_floating_point()) if isinstance(each, Tensor) else each
            for each in args
        ]
        torch.library.opcheck(getattr(torch.ops.isoflop, name), tuple(given))


@each_op
@pytest.mark.filterwarnings("ignore:Input #. requires gradient and is not a double precision")
def test_gradients_are_finite_differences(case: Case) -> None:
    """In float32, the widest that the kernels take: steps of 1e-2, errors of 1e-2."""
    tensors = case.tensors()
    wanted = leaves(tensors)

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        return case.call(getattr(operators, case.op), tensors | dict(zip(wanted, given, strict=True)))

    assert torch.autograd.gradcheck(
        function, tuple(wanted.values()), eps=1e-2, atol=1e-2, rtol=1e-2, nondet_tol=0.0, fast_mode=True
    )  # fmt: skip


@each_op
def test_compiled_as_one_graph_gives_the_same(case: Case) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(getattr(operators, case.op), fullgraph=True, backend="aot_eager")
    assert_equal(gradients(case, compiled), gradients(case, getattr(operators, case.op)), rtol=0.0, atol=0.0)


@each_op
def test_mapped_calls_are_further_models_of_one_launch(case: Case) -> None:
    tensors = {name: each for name, each in case.tensors().items() if each is not None}
    twice = {
        name: torch.stack([each, each.flip(0)]) if each.is_floating_point() else each for name, each in tensors.items()
    }
    dims = {name: 0 if each.is_floating_point() else None for name, each in tensors.items()}
    names = list(tensors)
    absent = {name: None for name in case.shapes if name not in tensors}

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        return case.call(getattr(operators, case.op), dict(zip(names, given, strict=True)) | absent)

    mapped = torch.vmap(function, in_dims=tuple(dims.values()))(*twice.values())
    for i in range(2):
        alone = function(*(each[i] if dims[name] == 0 else each for name, each in twice.items()))
        for ours, theirs in zip(mapped, alone, strict=True):
            assert torch.equal(ours[i], theirs)


@each_op
@pytest.mark.parametrize("seen", [False, True], ids=["direct", "through the dispatcher"])
def test_autocast_computes_in_its_own_type(case: Case, seen: bool) -> None:
    tensors = case.tensors()
    wanted = leaves(tensors)
    run = getattr(operators, case.op)
    with torch.autocast(next(iter(wanted.values())).device.type, torch.bfloat16):
        if seen:
            with iso.trace():
                made = case.call(run, tensors)
        else:
            made = case.call(run, tensors)
    for result, each in zip(OPS[case.op].results, made, strict=False):
        assert each.dtype == (torch.bfloat16 if result.dtype == "data" else getattr(torch, result.dtype)), result.name
    grads = torch.autograd.grad(sum(each.float().sum() for each in made), list(wanted.values()))
    assert {each.dtype for each in grads} == {torch.float32}


def test_a_tensor_with_gaps_is_copied() -> None:
    case = CASES["linear"]
    solid = case.tensors()
    gaps = {
        name: None if each is None else each.transpose(-1, -2).contiguous().transpose(-1, -2)
        for name, each in solid.items()
    }
    assert torch.equal(case.call(operators.linear, gaps)[0], case.call(operators.linear, solid)[0])


def test_a_second_derivative_is_refused() -> None:
    x, gain = torch.randn(1, 3, 8, requires_grad=True), torch.randn(1, 8)
    (dx,) = torch.autograd.grad(operators.norm(x, gain, kind="rms").sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        dx.sum().backward()


def test_an_unknown_reduction_is_refused_with_the_nearest() -> None:
    tensors = CASES["loss"].tensors()
    with pytest.raises(KernelError, match=r"no reduction 'men'\n  hint: did you mean 'mean'"):
        operators.linear_cross_entropy(**tensors, reduction="men")


def test_a_label_out_of_range_is_named_where_asked() -> None:
    tensors = CASES["loss"].tensors()
    tensors["targets"][1, 2] = -1
    assert operators.linear_cross_entropy(**tensors).isnan().tolist() == [False, True]
    with pytest.raises(KernelError, match=r"targets\[1, 2\] is -1; labels are 0 to 8"):
        operators.linear_cross_entropy(**tensors, check_labels=True)


def test_heads_left_to_sdpa_are_torchs_own_under_a_compiler_too() -> None:
    wide = Case("attention", {"q": (K, B, H, T, 300), "k": (K, B, G, T, 300), "v": (K, B, G, T, 300)})
    expected = gradients(wide, reference.on_models(reference.attention))
    torch._dynamo.reset()
    compiled = torch.compile(operators.attention, fullgraph=True, backend="aot_eager")
    for op in (operators.attention, compiled):
        assert_equal(gradients(wide, op), expected)
        assert last_dispatch()["attention"] == "sdpa"


def test_an_mlp_wider_than_its_tables_goes_op_by_op() -> None:
    wide = Case(
        "mlp",
        {"x": (1, 3, 300), "w_in": (1, 8, 300), "b_in": (1, 8), "w_out": (1, 300, 8), "b_out": None, "gain": (1, 300)},
        {"kind": "gelu", "norm": "rms", "residual": True},
    )
    assert_equal(
        gradients(wide, operators.mlp), gradients(wide, reference.on_models(reference.mlp)), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("kind", norm.KINDS)
def test_a_trace_counts_flops_and_the_bytes_of_every_tensor(kind: str) -> None:
    x, gain = torch.randn(2, 5, 12), torch.randn(2, 12)
    with iso.trace() as counted:
        operators.add_norm(x, x, gain, gain, kind=kind)
    assert not counted.uncounted
    assert counted.forward.vector == norm.FLOPS[kind][0] * x.numel()
    statistics = 4 * 10 * (2 if kind == "layer" else 1)
    assert counted.forward.bytes == 4 * x.nbytes + 2 * gain.nbytes + statistics


def test_products_of_a_trace_are_those_of_the_formulas() -> None:
    with iso.trace() as counted:
        gradients(CASES["rms qkv rope"], operators.norm_qkv)
    assert (counted.forward.products, counted.backward.products) == tuple(K * each for each in qkv.flops(B * T, D, 16))
    with iso.trace() as counted:
        gradients(CASES["window"], operators.attention)
    sizes = {"K": K, "B": B, "H": H, "G": H, "T": T, "C": C}
    expected = attention_kernel.flops(sizes, window=2)
    assert (counted.forward.products, counted.backward.products) == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inductor_compiles_an_operator_amid_others() -> None:
    torch._dynamo.reset()
    x, gain = torch.randn(1, 4, 8, requires_grad=True), torch.ones(1, 8)

    def function(x: Tensor) -> Tensor:
        return (operators.norm(x * 2, gain, kind="rms") * 3).sin().sum()

    compiled = torch.compile(function, fullgraph=True)
    assert_equal(torch.autograd.grad(compiled(x), x), torch.autograd.grad(function(x), x))
