"""What the compiler makes of every level's kernels for a chip, on a machine that has none: levels are called, on
tensors without a GPU, and what they would have launched is compiled instead."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from triton.runtime.jit import JITFunction

from isoflop.kernels import mlp
from isoflop.kernels.configurations import Configuration
from levels.ladder import LEVELS
from levels.task import draw

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))  # the proof compiles, and reads machine code
from levels.loops import issued, longest_loop, programs
from proof.budgets import CHIPS, compiled
from proof.job import Job
from proof.machine_code import READERS

ROWS = 64  # any that 16 divides
LAUNCH = ("num_warps", "num_stages")
WARPS = 4  # Triton's own, where a launch says nothing


@dataclass(frozen=True)
class Compiled:
    """One kernel of one level: its constants, registers of a thread, spills, bytes of shared memory, and matrix
    instructions by name.

    ``loop``, ``issued`` and ``programs`` are of kernels that hold both products, on NVIDIA's chips: instructions of the
    loop over hidden columns, how many of them warps issue for one hidden number, and programs that a multiprocessor
    holds at a time.
    """

    level: int
    kernel: str
    width: int
    form: str
    warps: int
    registers: int
    spills: int
    shared: int
    matrix: dict[str, int]
    loop: int | None = None
    issued: float | None = None
    programs: int | None = None


def compiled_levels(chip: str, width: int, levels: Iterable[int] = LEVELS) -> Iterator[Compiled]:
    """Every kernel that a level launches and none before it did, in bfloat16.

    The shipped kernel is compiled by ``chip``'s own row of its table, and by the row of any chip.
    """
    seen: set[tuple[Any, ...]] = set()
    for number, table in product(levels, (chip, None)):
        for job in launched(table, partial(LEVELS[number], *draw(2, ROWS, width, torch.bfloat16, "cpu"))):
            key = (job.kernel, *map(repr, (job.types, job.configuration, job.constants)))
            if key not in seen:
                seen.add(key)
                yield of_job(chip, number, width, job)


def of_job(chip: str, level: int, width: int, job: Job) -> Compiled:
    """One kernel, compiled and read."""
    backend, kernel, warps = CHIPS[chip].target.backend, compiled(chip, job), job.configuration["warps"]
    constants = job.configuration.constants | job.constants
    form = " ".join(f"{name}={value}" for name, value in constants.items() if value is not None)
    facts, shared = READERS[backend](kernel.asm), kernel.metadata.shared
    made = Compiled(
        level, job.kernel.fn.__name__, width, form, warps, facts["registers"], facts["spills"], shared, facts["matrix"]
    )
    if backend != "cuda" or "HIDDEN" not in constants:
        return made
    loop = longest_loop(kernel.asm["cubin"])
    return replace(
        made, loop=loop, issued=round(issued(loop, warps, constants["ROWS"], constants["HIDDEN"]), 2),
        programs=programs(made.registers, warps, shared, CHIPS[chip].shared),
    )  # fmt: skip


def launched(table: str | None, call: Any) -> list[Job]:
    """The kernels that ``call`` would launch on a chip with rows of its own in ``table``, and does not."""
    jobs: list[Job] = []

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
        del grid, warmup
        jobs.append(job_of(kernel, dict(zip(kernel.arg_names, args, strict=False)) | named))

    with ExitStack() as stack:
        stack.enter_context(patch.object(JITFunction, "run", run))
        stack.enter_context(patch.object(mlp, "admit", lambda *_: None))
        stack.enter_context(patch.object(mlp, "chip_of", lambda _: table))
        call()
    return jobs


def job_of(kernel: Any, given: dict[str, Any]) -> Job:
    """A launch as a job: types as Triton would find them, constants, warps and stages."""
    of_launch = {"warps": given.pop("num_warps", WARPS), "stages": given.pop("num_stages", 3)}
    constexprs = {each.name for each in kernel.params if each.is_constexpr}
    constants = {name: value for name, value in given.items() if name in constexprs or value is None}
    types = {name: type_of(value) for name, value in given.items() if name not in constants}
    return Job(kernel, types, Configuration(of_launch), constants)


def type_of(value: Any) -> str:
    """The type of an argument, as jobs write it."""
    if isinstance(value, Tensor):
        return {torch.bfloat16: "*bf16", torch.float32: "*fp32"}[value.dtype]
    if isinstance(value, float):
        return "fp32"
    return "i32:16" if value % 16 == 0 else "i32"
