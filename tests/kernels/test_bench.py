"""The benchmark on a CPU: what it measures, what it says of what it did not, and what it writes."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")

import torch

from isoflop.benchmark import Bench, bench, correctness, joules, run, steps, tune, write
from isoflop.benchmark.beside import Beside
from isoflop.benchmark.budget import Budget
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.files import render
from isoflop.benchmark.native import NATIVE
from isoflop.benchmark.plan import PLANS, Plan
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.tables import facts, tables
from isoflop.benchmark.timing import Call, HostClock, Time
from isoflop.benchmark.variants import variants
from isoflop.counting import flops
from isoflop.errors import KernelError, SpecError, StoreError
from isoflop.hardware import Ceiling
from isoflop.kernels.signatures import OPS

CPU = torch.device("cpu")
UNTIMED = {
    "norm": "the kernel of add_norm without its sum",
    "rope": "no kernel of its own: a part of norm_qkv's and of block's",
    "argmax_hits": "evaluation, not training",
    "dropout": "of the CPU alone",
    "scale": "of the CPU alone",
}
FITTED = {"isoflop": 0.25, "scipy": 1.0}
"""Seconds of a fit that is not made here."""

TINY = Plan(
    (Size(2, 1, 3, 8, 5),), (Size(2, 1, 4, 8, 5),), (steps.Rung((1, 8, 4, 7, 2)),), (1,), torch.float32, False, 0
)


class Tick:
    """A clock that calls every variant once and says that the first took a second, each next one twice as long."""

    def time(self, variants: Mapping[str, Call], seconds: float) -> dict[str, Time]:
        for call in variants.values():
            call()
        return {name: Time(2.0**i, 2.0**i, 2.0**i, 2.0**i, 1) for i, name in enumerate(variants)}


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """No time goes into ceilings or clocks."""
    found = [Ceiling("matmul", "cpu", "torch", name, 64, 1e9, 1) for name in ("float32", "bfloat16")]
    found.append(Ceiling("copy", "cpu", "numpy", "uint8", 64, 1e9, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "peak_of_this_machine", lambda budget: tuple(found))
        patch.setattr(run, "clock_of", lambda device: Tick())
        patch.setattr(run, "counted", lambda device: "processor")
        ours, other = (Beside("a fit", name, "Huber", "1.0", 9.0, seconds, 4, 0.5) for name, seconds in FITTED.items())
        patch.setattr(run, "beside", lambda budget, say: [ours, other])
        patch.setattr(run, "joules", lambda call, *_: None if "native" in call.__qualname__ else 4.0)
        yield


@pytest.fixture(scope="module")
def made(quiet: None) -> Bench:
    return bench("cpu", plan=TINY)


def test_every_op_is_checked_in_every_dtype_and_every_pass_is_timed(made: Bench) -> None:
    assert {(each.op, each.dtype) for each in made.verdicts} == {
        (op, str(dtype).removeprefix("torch.")) for op, case in CASES.items() for dtype in case.dtypes
    }
    assert all(each.passed for each in made.verdicts)
    both = {op for op, case in CASES.items() if case.backward is not None}
    assert {(each.op, each.phase) for each in made.ops} == {(op, "forward") for op in CASES} | {
        (op, "forward and backward") for op in both
    }


def test_ops_in_cpp_are_checked_and_timed_beside_their_definitions(made: Bench) -> None:
    ran = {(each.op, each.dtype): each.implementation for each in made.verdicts}
    assert {at for at, implementation in ran.items() if implementation == "native"} == {
        (op, "float32") for op in NATIVE
    }
    assert {*ran.values()} == {"native", "reference"}
    for each in made.ops:
        assert [*each.times] == (["native", "eager"] if each.op in NATIVE else ["eager"]), each.op


@pytest.mark.parametrize("op", NATIVE)
def test_a_call_in_cpp_that_is_timed_fills_the_same_buffers_with_the_same_bits(op: str) -> None:
    case = NATIVE[op]
    name, make = next(variants(op, Size(2, 2, 5, 24, 7), torch.float32, CPU, kernels=False, compiled=False, both=True))
    assert name == "native"
    call = make()
    first = call()[: len(case.gradients)]
    kept = [each.clone() for each in first]
    again = call()[: len(case.gradients)]
    for one, two, value in zip(first, again, kept, strict=True):
        assert one.data_ptr() == two.data_ptr()
        assert torch.equal(two, value)


def test_every_op_that_has_a_table_or_a_definition_has_a_case() -> None:
    forward = {op for op in OPS if not op.endswith("_backward")}
    assert forward - CASES.keys() == UNTIMED.keys()


@pytest.mark.parametrize("dtype", CASES["moe_route"].dtypes)
@pytest.mark.parametrize("size", correctness.SIZES, ids=str)
def test_no_rounding_sends_a_row_to_other_experts(size: Size, dtype: torch.dtype) -> None:
    drawn = CASES["moe_route"].draw(size, dtype, CPU)
    x, router = drawn["x"], drawn["router"]
    exact = x.double() @ router.double().mT
    gaps = exact.sort(-1).values.diff(dim=-1)
    assert gaps.min() > 2 * ((x @ router.mT).double() - exact).abs().max()
    *_, dropped = CASES["moe_route"].define(size)(drawn)
    assert (dropped > 0).all()


def test_tokens_and_utilisation_follow_from_the_time_of_a_step(made: Bench) -> None:
    assert [each.variant for each in made.steps] == ["native", "eager"]
    counted = flops(TINY.ladder[0].shape).per_token("exact-causal")
    for step in made.steps:
        assert (step.models, step.tokens, step.memory) == (1, 2 * 4, None)
        assert step.tokens_per_second == pytest.approx(step.tokens / step.with_host)
        assert step.mfu == pytest.approx(counted * step.tokens_per_second / made.ceilings.matrix["fp32"])


def test_joules_of_a_step_are_shown_by_token_and_where_they_can_be_read_alone(made: Bench) -> None:
    none, four = made.steps
    assert (none.joules, none.flops_per_joule) == (None, None)
    assert four.joules == 4.0
    assert four.flops_per_joule == flops(TINY.ladder[0].shape).per_token("exact-causal") * four.tokens / 4.0
    (table,) = [each for each in tables(made) if "J/token" in each.headings]
    at = list(table.headings).index("J/token")
    assert [row[at] for row in table.rows] == ["", f"{4.0 / four.tokens:.3g}"]
    assert ("energy of", "processor") in facts(made)


def test_fits_and_counts_are_shown_as_multiples_of_our_best(made: Bench) -> None:
    assert [each.seconds for each in made.beside] == [*FITTED.values()]
    (shown,) = (table for table in tables(made) if table.caption.startswith("Fits and counts"))
    at = [*shown.headings].index("of isoflop's best")
    assert [row[at] for row in shown.rows] == ["1x", "4x"]
    assert json.loads(json.dumps(made.to_dict()))["beside"][1]["package"] == "scipy"


def test_the_energy_of_a_call_is_that_of_many_in_a_row_over_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[None] = []

    class Meter:
        of = ("processor",)

        def joules(self) -> float:
            return 7.0 + 2.0 * len(called)

    monkeypatch.setattr(joules, "counters", lambda device: Meter())
    assert joules.joules(lambda: called.append(None), joules.LEAST / 3, CPU) == pytest.approx(2.0)
    assert len(called) == 3
    assert joules.counted(CPU) == "processor"
    Meter.of = ()
    assert joules.joules(lambda: called.append(None), 1.0, CPU) is None
    assert joules.counted(CPU).startswith("not readable: ")
    assert len(called) == 3


def test_what_there_is_no_time_for_is_skipped_and_named() -> None:
    made = bench("cpu", plan=TINY, limit=1e-3)
    assert made.verdicts == made.ops == made.steps == []
    named = {each.what for each in made.skipped}
    assert {"correctness of linear in fp16", "linear, forward, at 2 x 1 x 4 x 8: eager"} <= named
    assert any(what.startswith("a step of 1 x") for what in named)
    assert all(each.why.startswith("no time left") for each in made.skipped)


def test_a_budget_takes_the_next_piece_of_work_for_as_long_as_the_longest_like_it() -> None:
    now = [0.0]
    budget = Budget(10.0, now=lambda: now[0])
    for took in (1.0, 4.0, 2.0):
        assert budget.allows("time", "more")
        with budget.spend("time"):
            now[0] += took
    assert not budget.allows("time", "more")
    assert budget.allows("check", "another kind")
    assert [each.what for each in budget.skipped] == ["more"]


def test_a_part_of_a_budget_ends_with_it_and_shares_what_it_knows() -> None:
    now = [0.0]
    budget = Budget(10.0, now=lambda: now[0])
    part = budget.part(100.0)
    assert part.left == 10.0
    assert not part.part(1.0).allows("time", "late")
    assert [each.what for each in budget.skipped] == ["late"]


def test_an_op_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = CASES["linear"]
    off = dataclasses.replace(
        linear, forward=lambda t, out: linear.define(TINY.checks[0])(t)[0] * 1.001, backward=None, gradients=()
    )
    monkeypatch.setitem(CASES, "linear", off)
    verdict = correctness.check("linear", torch.float32, CPU, kernels=True, sizes=TINY.checks)
    assert not verdict.passed
    assert verdict.error > verdict.allowed


def test_an_op_of_which_one_element_is_no_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = CASES["linear"]

    def unwritten(tensors: dict[str, torch.Tensor], out: object) -> torch.Tensor:
        y = linear.define(TINY.checks[0])(tensors)[0].clone()
        y[-1, -1, -1] = float("nan")
        return y

    monkeypatch.setitem(CASES, "linear", dataclasses.replace(linear, forward=unwritten, backward=None, gradients=()))
    assert not correctness.check("linear", torch.float32, CPU, kernels=True, sizes=TINY.checks).passed


def test_a_way_that_fails_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **settings: object) -> None:
        raise RuntimeError("no such instruction\nand more")

    case = dataclasses.replace(CASES["block"], definition=broken)
    monkeypatch.setitem(CASES, "block", case)
    made = bench("cpu", plan=TINY)
    why = "failed: RuntimeError: no such instruction"
    assert {each.what for each in made.skipped if each.why == why} == {
        f"block, {phase}, at 2 x 1 x 4 x 8: eager" for phase in ("forward", "forward and backward")
    }
    assert {each.op for each in made.ops} == CASES.keys() - {"block"}
    assert [each.what for each in made.verdicts if not each.passed] == [why] * 3


def test_a_benchmark_is_written_whole_or_not_at_all(
    made: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, page = write(made, tmp_path / "new")
    read = json.loads(data.read_text())
    assert read["device"] == made.device
    assert read["machine"]["packages"]["torch"] == torch.__version__
    assert len(read["verdicts"]) == len(made.verdicts)
    assert read["ops"][0]["times"]["native"]["median"] == 1.0
    assert page.read_text().count("<table>") == 1 + len([*tables(made)])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write(made, tmp_path / "full")
    assert [*(tmp_path / "full").iterdir()] == []


def test_the_page_is_well_formed_and_says_what_is_arithmetic(made: Bench) -> None:
    open_tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    text = render(dataclasses.replace(made, device="<b>A&B"))
    Reader().feed(text)
    assert open_tags == []
    assert "isoflop bench: &lt;b&gt;A&amp;B" in text
    assert "The roofline is arithmetic" in text
    assert "Triton kernels need a GPU" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there_is_refused_in_words() -> None:
    for called in (lambda: bench("cuda"), lambda: tune(["norm"])):
        with pytest.raises(
            KernelError, match=r"device cuda: torch .* (sees no GPU|is built for CPUs alone)"
        ) as refused:
            called()
        assert "--device cpu" in (refused.value.hint or "")


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(KernelError, match="there is no device 'gpu'"):
        bench("gpu")
    with pytest.raises(KernelError, match="a limit of 0 seconds"):
        bench("cpu", limit=0)
    with pytest.raises(SpecError, match="unknown device 'h1000'"):
        bench("cpu", chip="h1000", plan=TINY)


def test_variants_are_timed_in_turns_after_a_warm_up() -> None:
    called: list[str] = []
    variants = {name: lambda name=name: called.append(name) for name in ("a", "b")}
    times = HostClock().time(variants, 0.0)
    assert called == ["a"] * 3 + ["b"] * 3 + ["a", "b"] * 5
    assert all(time.calls == 5 and time.low <= time.median <= time.high for time in times.values())


def test_the_ladder_on_a_gpu_goes_from_3e3_parameters_to_1e9_and_from_one_model_to_64() -> None:
    full = PLANS["cuda", False]
    sizes = [rung.shape.n_nonembedding for rung in full.ladder]
    assert sizes == sorted(sizes)
    assert sizes[0] == pytest.approx(3e3, rel=0.15)
    assert sizes[-1] == pytest.approx(1e9, rel=0.15)
    assert (full.models[0], full.models[-1]) == (1, 64)


def test_a_step_that_does_not_fit_the_memory_is_skipped_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "needed", lambda rung, models: 1e15)
    made = bench("cpu", plan=TINY)
    assert made.steps == []
    (why,) = (each.why for each in made.skipped if each.what.startswith("a step of"))
    assert why.startswith("needs some 1000000 GB")


def test_a_step_of_the_definition_moves_the_parameters() -> None:
    step = steps.by_torch(TINY.ladder[0], torch.float32, CPU, compiled=False)
    losses = [float(step().detach()) for _ in range(20)]
    assert losses[-1] < losses[0]
