"""What a GPU needs before it can be timed, in many processes: all that is compiled, and kernels checked on the way.

Triton and torch keep what they compile on disk, where the process that times finds it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from typing import NamedTuple

import torch

from isoflop.benchmark import correctness, steps
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.plan import Plan
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.variants import by_definition, by_kernels
from isoflop.hardware import cores

_MOST = 12  # processes: each has a context of its own on the GPU
_MEMORY = 2**33  # bytes that a step made ahead may need, beside those of the other processes


class Check(NamedTuple):
    """An op to be checked."""

    op: str
    dtype: torch.dtype
    sizes: tuple[Size, ...]
    kernels: bool

    def run(self, device: torch.device) -> correctness.Verdict:
        """By its kernels, or by what runs without a GPU."""
        try:
            return correctness.check(self.op, self.dtype, device, kernels=self.kernels, sizes=self.sizes)
        except Exception as error:  # of a compiler or a driver: an op that does not run is not right
            ran = correctness.implementation(self.op, self.dtype, device, kernels=self.kernels)
            return correctness.failed(self.op, self.dtype, first_line(error), ran)


class Compile(NamedTuple):
    """An op to be called as it will be timed."""

    op: str
    dtype: torch.dtype
    size: Size

    def run(self, device: torch.device) -> None:
        """Forward and backward, once."""
        case = CASES[self.op]
        by_kernels(case, case.draw(self.size, self.dtype, device), both=True)()


class CompileTorchs(NamedTuple):
    """The definition of an op to be called under ``torch.compile``, as it will be timed."""

    op: str
    dtype: torch.dtype
    size: Size
    both: bool

    def run(self, device: torch.device) -> None:
        """Of one model."""
        torch.compiler.reset()
        case, one = CASES[self.op], self.size._replace(models=1)
        define = torch.compile(case.define_one(self.size), dynamic=False)
        by_definition(case, case.draw(one, self.dtype, device), define, both=self.both)()


class StepOfTorchs(NamedTuple):
    """A training step of the plain model to be made under ``torch.compile``."""

    rung: steps.Rung
    dtype: torch.dtype

    def run(self, device: torch.device) -> None:
        """Once."""
        steps.by_torch(self.rung, self.dtype, device, compiled=True)()


class Step(NamedTuple):
    """A training step to be made as it will be timed; of one model, and of two for any other number."""

    rung: steps.Rung
    models: int
    dtype: torch.dtype

    def run(self, device: torch.device) -> None:
        """Once, without a graph."""
        steps.by_kernels(self.rung, self.models, self.dtype, device, captured=False)()


Job = Check | Compile | Step | CompileTorchs | StepOfTorchs


def jobs(plan: Plan, device: torch.device, *, kernels: bool) -> Iterator[Job]:
    """Of a plan: all that is checked, then all kernels that are timed, then what torch compiles beside them."""
    for op, case in CASES.items():
        for dtype in case.dtypes:
            yield Check(op, dtype, plan.checks, kernels)
    if not kernels:
        return
    for size in plan.sizes:
        for op, case in CASES.items():
            dtype = plan.dtype if plan.dtype in case.dtypes else case.dtypes[0]
            if case.serves(size, dtype, device):
                yield Compile(op, dtype, size)
    if steps.engine() is not None:
        for rung in plan.ladder:
            for models in {min(models, 2) for models in plan.models}:
                if steps.needed(rung, models) < _MEMORY:
                    yield Step(rung, models, plan.dtype)
    if plan.compiled:
        yield from (StepOfTorchs(rung, plan.dtype) for rung in plan.ladder if steps.needed(rung, 1) < _MEMORY)
        for size in plan.sizes:
            for op, case in CASES.items():
                dtype = plan.dtype if plan.dtype in case.dtypes else case.dtypes[0]
                if case.serves(size, dtype, device):
                    for both in (False, True)[: 1 if case.backward is None else 2]:
                        yield CompileTorchs(op, dtype, size, both)


def run_all(todo: Sequence[Job], device: torch.device, seconds: float) -> dict[Job, correctness.Verdict | None]:
    """What was done within so many seconds, by processes beside each other; what failed is missing, as what is late.

    Processes that are not done by then are ended: a compiler can take minutes.
    """
    end = time.monotonic() + seconds
    with get_context("spawn").Pool(max(1, min(_MOST, int(cores() * 0.75)))) as pool:
        asked = {job: pool.apply_async(_run, (job, device.type)) for job in todo}
        for result in asked.values():
            result.wait(max(0.0, end - time.monotonic()))
        return {job: result.get() for job, result in asked.items() if result.ready() and result.successful()}


def first_line(error: Exception) -> str:
    """The kind of an error, and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _run(job: Job, kind: str) -> correctness.Verdict | None:
    torch.set_num_threads(1)
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # the processes are many enough
    return job.run(torch.device(kind))
