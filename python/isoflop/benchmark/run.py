"""The benchmark of this machine: are the kernels right, how fast is each, how fast is a training step."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import torch

from isoflop.benchmark import ahead, steps
from isoflop.benchmark.ahead import first_line
from isoflop.benchmark.beside import beside
from isoflop.benchmark.budget import Budget
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.ceilings import DTYPES, Ceilings, board, measured, published
from isoflop.benchmark.found import Bench, OpTime
from isoflop.benchmark.joules import counted, joules
from isoflop.benchmark.plan import PLANS, Plan
from isoflop.benchmark.timing import Call, Clock, clock_of
from isoflop.benchmark.variants import variants
from isoflop.counting import flops
from isoflop.errors import KernelError, nearest
from isoflop.hardware import Ceiling, info, peak_of_this_machine
from isoflop.kernels.launch import interpreted

DEVICES = ("cuda", "cpu")
"""What a benchmark runs on."""

LIMIT = 480.0
"""Seconds that a benchmark takes at most."""

_SPARE = 0.04  # of the seconds: writing, and what a piece of work takes longer than the longest like it
_SHARES = {"check": 0.3, "time": 0.35, "beside": 0.06}  # of the seconds; steps have the rest

Say = Callable[[str], None]


def bench(
    kind: str = "cuda", *, quick: bool = False, limit: float = LIMIT, chip: str | None = None, plan: Plan | None = None,
    say: Say = lambda text: None,
) -> Bench:  # fmt: skip
    """Run the benchmark on the GPU ("cuda") or the CPU ("cpu"), within ``limit`` seconds: what does not fit is skipped.

    Args:
        quick: fewer sizes and nothing compiled.
        chip: the published device that rooflines are of; default the one that the driver names, else as measured.
        plan: sizes, in place of those of the kind and ``quick``.
        say: told what is done next.

    Raises:
        KernelError: no such kind, no GPU, or a limit that is no positive number.
        SpecError: an unknown chip.
    """
    device = device_of(kind)
    if not limit > 0:
        raise KernelError(f"a limit of {limit} seconds; it must be positive")
    budget = Budget(limit * (1 - _SPARE))
    chosen = plan or PLANS[kind, quick]
    say("ceilings of this machine")
    name, found = _name(device), peak_of_this_machine(0.4 if quick else 1.2)
    made = Bench(
        name, kind, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", info(), _runtime(), quick, _kernels(device), limit,
        _ceilings(chip, device, name, found), found, skipped=budget.skipped, energy=counted(device),
    )  # fmt: skip
    _check(made, chosen, device, budget.part(limit * _SHARES["check"]), say)
    clock = clock_of(device)
    phases: dict[str, Callable[[], None]] = {
        "times of ops": lambda: _time(made, chosen, device, clock, budget.part(limit * _SHARES["time"]), say),
        "fits and counts": lambda: made.beside.extend(beside(budget.part(limit * _SHARES["beside"]), say)),
        "training steps": lambda: _step(made, chosen, device, clock, budget, say),
    }
    for phase, run in phases.items():
        try:
            run()
        except RuntimeError as error:  # a GPU that met an error takes no more work of its process: what there is stays
            budget.skip(f"the rest of the {phase}", f"failed: {first_line(error)}")
    made.seconds = budget.spent
    return made


def device_of(kind: str) -> torch.device:
    """The device of that kind; KernelError where there is none."""
    if kind not in DEVICES:
        raise KernelError(f"there is no device {kind!r}", hint=nearest(kind, DEVICES))
    if kind == "cuda" and not torch.cuda.is_available():
        build = torch.version.cuda or torch.version.hip
        lacks = "sees no GPU" if build else "is built for CPUs alone"
        hint = "install its driver and show it to this process" if build else "install the torch of your GPU"
        raise KernelError(f"device cuda: torch {torch.__version__} {lacks}", hint=f"{hint}; or --device cpu")
    return torch.device(kind)


def _kernels(device: torch.device) -> bool:
    return device.type == "cuda" or interpreted()


def _name(device: torch.device) -> str:
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else info().cpu


def _runtime() -> str:
    return (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}" if torch.version.hip else ""
    )


def _ceilings(chip: str | None, device: torch.device, name: str, found: tuple[Ceiling, ...]) -> Ceilings:
    key = chip or (board(name) if device.type == "cuda" else None)
    if key is not None:
        return published(key)
    return measured(name, found, name if device.type == "cuda" else "cpu")


def _check(made: Bench, plan: Plan, device: torch.device, budget: Budget, say: Say) -> None:
    todo, found = [*ahead.jobs(plan, device, kernels=made.kernels)], {}
    if device.type == "cuda":
        say("correctness, and kernels compiled, by several processes")
        given = budget.left
        found = ahead.run_all(todo, device, given)
    for job in todo:
        if not isinstance(job, ahead.Check):
            continue
        what = f"correctness of {job.op} in {DTYPES[job.dtype]}"
        if device.type == "cuda":
            if (verdict := found.get(job)) is None:
                budget.skip(what, f"not done in the {given:.0f} s that there were, or its process ended")
        elif budget.allows("check", what):
            say(what)
            with budget.spend("check"):
                verdict = job.run(device)
        else:
            verdict = None
        if verdict is not None:
            made.verdicts.append(verdict)


def _time(made: Bench, plan: Plan, device: torch.device, clock: Clock, budget: Budget, say: Say) -> None:
    for size in plan.sizes:
        for op, case in CASES.items():
            dtype = plan.dtype if plan.dtype in case.dtypes else case.dtypes[0]
            if not case.serves(size, dtype, device):
                continue
            work = case.work(size, dtype.itemsize)
            for both in (False, True)[: len(work)]:
                phase, total = "forward and backward" if both else "forward", work if both else work[:1]
                least = sum(made.ceilings.seconds(each, DTYPES[dtype], matrix=case.matrix) for each in total)
                what = f"{op}, {phase}, at {size}"
                ways = variants(
                    op, size, dtype, device, kernels=made.kernels, compiled=plan.compiled, both=both
                )  # fmt: skip
                if calls := _prepared(ways, what, budget, say):
                    with budget.spend("time"):
                        times = clock.time(calls, min(plan.seconds, max(budget.left, 0.0)))
                    made.ops.append(OpTime(op, phase, size, DTYPES[dtype], least, times))


def _step(made: Bench, plan: Plan, device: torch.device, clock: Clock, budget: Budget, say: Say) -> None:
    if made.kernels and steps.engine() is None:
        budget.skip("training steps by kernels", "this version of isoflop has no isoflop.train.engine.triton")
    for rung in plan.ladder:
        shape = rung.shape
        for models in plan.models:
            what = f"a step of {models} x {shape.n_nonembedding:.2g} parameters"
            room = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else made.machine.memory_bytes
            if room is not None and steps.needed(rung, models) > 0.9 * room:
                budget.skip(what, f"needs some {steps.needed(rung, models) / 1e9:.0f} GB; {room / 1e9:.0f} GB are free")
                continue
            ways = steps.ways(rung, models, plan.dtype, device, kernels=made.kernels, compiled=plan.compiled)
            for name, make in ways:
                with _emptied(device):
                    if not (calls := _prepared(iter([(name, make)]), what, budget, say)):
                        continue
                    with budget.spend("step"):
                        time = clock.time(calls, min(plan.seconds, max(budget.left, 0.0)))[name]
                        spent = joules(calls[name], time.with_host, device)
                    tokens = models * rung.batch * shape.n_ctx
                    rate = tokens / time.with_host
                    made.steps.append(steps.StepTime(
                        shape.n_nonembedding, shape.n_layer, shape.d_model, models, name, DTYPES[plan.dtype], tokens,
                        time.median, time.with_host, rate, steps.utilisation(shape, rate, made.ceilings, plan.dtype),
                        int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None,
                        spent, flops(shape).per_token("exact-causal") * tokens / spent if spent else None,
                    ))  # fmt: skip
                    del calls


def _prepared(
    ways: Iterator[tuple[str, Callable[[], Call]]], what: str, budget: Budget, say: Say
) -> dict[str, Call]:  # fmt: skip
    """The calls that there is time to make ready, each made once; one that fails is skipped with what it said."""
    calls: dict[str, Call] = {}
    for name, make in ways:
        work, kind = f"{what}: {name}", "compile" if name.startswith("compile") else "time"
        if not budget.allows(kind, work):
            continue
        say(work)
        with budget.spend(kind):
            try:
                call = make()
                call()
            except Exception as error:  # of a compiler, a driver, a graph: the others are worth having all the same
                budget.skip(work, f"failed: {first_line(error)}")
                continue
        calls[name] = call
    return calls


class _emptied:
    """Between two steps: memory of the one before is given back, and the worst moment counted anew."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def __exit__(self, *_: object) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
