"""The benchmark's own calls of the kernels, in the interpreter: all launchers and gradients, buffers filled again."""

from __future__ import annotations

import pytest
import torch

from isoflop.benchmark import ahead, bench, correctness, run, steps, timing, tune
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.plan import Plan
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.targets import TARGETS
from isoflop.benchmark.tiles import tried
from isoflop.benchmark.tune import measurer
from isoflop.benchmark.variants import by_kernels, variants
from isoflop.errors import KernelError
from isoflop.hardware import Ceiling
from isoflop.kernels.configurations import Configuration, configuration

CPU = torch.device("cpu")
SIZE = Size(2, 1, 5, 24, 7)


@pytest.mark.parametrize("op", CASES)
def test_kernels_are_checked_against_float64(op: str) -> None:
    verdict = correctness.check(op, torch.float32, CPU, kernels=True, sizes=[SIZE])
    assert verdict.passed, verdict
    assert verdict.implementation == "kernels"


@pytest.mark.parametrize("op", [op for op, case in CASES.items() if case.backward])
def test_a_call_that_is_timed_fills_the_same_buffers_with_the_same_bits(op: str) -> None:
    case = CASES[op]
    made = next(variants(op, SIZE, torch.float32, CPU, kernels=True, compiled=False, both=True))
    assert made[0] == "kernels"
    call = made[1]()
    first = call()[: len(case.gradients)]
    kept = [each.clone() for each in first]
    again = call()[: len(case.gradients)]
    for one, two, value in zip(first, again, kept, strict=True):
        assert one.data_ptr() == two.data_ptr()
        assert torch.equal(two, value)


def test_a_benchmark_runs_kernels_beside_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    product = Ceiling("matmul", "cpu", "torch", "float32", 64, 1e9, 1)
    copy = Ceiling("copy", "cpu", "numpy", "uint8", 64, 1e9, 1)
    monkeypatch.setattr(run, "peak_of_this_machine", lambda budget: (product, copy))
    monkeypatch.setattr(timing, "WARM", 0)
    monkeypatch.setattr(timing, "FEWEST", 2)
    for module in (run, ahead):
        monkeypatch.setattr(module, "CASES", {"linear": CASES["linear"]})
    rungs = (steps.Rung((1, 8, 4, 7, 1)),)
    made = bench("cpu", plan=Plan((SIZE,), (SIZE,), rungs, (1, 2), torch.float32, False, 0.0))
    assert [[*each.times] for each in made.ops] == [["kernels", "eager"]] * 2
    expected = [("eager", 1)] if steps.engine() is None else [("kernels", 1), ("eager", 1), ("kernels", 2)]
    assert [(each.variant, each.models) for each in made.steps] == expected


def test_processes_check_and_compile_what_one_will_time() -> None:
    rungs = (steps.Rung((1, 8, 4, 7, 1)),)
    todo = [*ahead.jobs(Plan((SIZE,), (SIZE,), rungs, (1, 4), torch.float32, False, 0.0), CPU, kernels=True)]
    of_linear = [job for job in todo if getattr(job, "op", None) == "linear"]
    assert [type(job) for job in of_linear] == [ahead.Check] * 3 + [ahead.Compile]
    of_step = [(job.rung, job.models) for job in todo if isinstance(job, ahead.Step)]
    assert of_step == ([] if steps.engine() is None else [(rungs[0], 1), (rungs[0], 2)])
    found = ahead.run_all([of_linear[0], of_linear[-1]], CPU, 60.0)
    assert found[of_linear[0]].passed
    assert found[of_linear[-1]] is None


def test_a_tile_is_run_checked_and_timed() -> None:
    row = Configuration({"rows": 16, "columns": 16, "depth": 16, "warps": 4, "stages": 2}, None, 32, 24)
    assert measurer(CPU)("linear", row, SIZE._replace(models=1)) > 0
    refused = measurer(CPU)("linear", Configuration({**row, "rows": 3}, None, 32, 24), SIZE._replace(models=1))
    assert "power of" in refused


@pytest.mark.parametrize("table", sorted(TARGETS.keys() - {"block_backward"}))  # whose rows are of threads alone
def test_a_row_on_trial_is_the_one_that_the_kernels_read(table: str) -> None:
    target = TARGETS[table]
    case, served = CASES[target.op], target.served(SIZE)
    now = configuration(table, width=served or SIZE.width, dtype=torch.float32, chip=None)
    broken = {name: value if name in ("warps", "stages", "sdpa_past") else 3 for name, value in now.items()}
    tensors = case.draw(SIZE, torch.float32, CPU)
    with (
        tried(table, Configuration(broken, None, 32 if served else None, served)),
        pytest.raises(Exception, match="power of"),
    ):
        by_kernels(case, tensors, both=target.both)()


def test_tuning_without_a_gpu_is_possible_where_kernels_are_interpreted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("ISOFLOP_CONFIGURATIONS", str(tmp_path))
    assert tune([], kind="cpu").rows == []
    with pytest.raises(KernelError, match="no device"):
        tune([], kind="gpu")
