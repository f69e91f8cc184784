"""What the compiler makes of every level's kernels for a chip, on a machine that has none: levels are called, on
tensors without a GPU, and what they would have launched is compiled instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
from proof.budgets import measure
from proof.job import Job

ROWS = 64  # any that 16 divides
LAUNCH = ("num_warps", "num_stages")
WARPS = 4  # Triton's own, where a launch says nothing


@dataclass(frozen=True)
class Compiled:
    """One kernel of one level: its constants, registers of a thread, spills, bytes of shared memory, and matrix
    instructions by name."""

    level: int
    kernel: str
    width: int
    form: str
    warps: int
    registers: int
    spills: int
    shared: int
    matrix: dict[str, int]


def compiled(chip: str, width: int) -> Iterator[Compiled]:
    """Every kernel that a level launches and none before it did, in bfloat16."""
    seen: set[tuple[Any, ...]] = set()
    for number, level in LEVELS.items():
        for job in launched(chip, lambda level=level: level(*draw(2, ROWS, width, torch.bfloat16, "cpu"))):
            name, key = job.kernel.fn.__name__, (job.kernel, *map(repr, (job.types, job.configuration, job.constants)))
            if key in seen:
                continue
            seen.add(key)
            of_job = measure(chip, job)
            costs = {each: of_job[each] for each in ("registers", "spills", "shared", "matrix")}
            form = " ".join(f"{name}={value}" for name, value in job.constants.items() if value is not None)
            yield Compiled(number, name, width, form, job.configuration["warps"], **costs)


def launched(chip: str, call: Any) -> list[Job]:
    """The kernels that ``call`` would launch on ``chip``, and does not."""
    jobs: list[Job] = []

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
        del grid, warmup
        jobs.append(job_of(kernel, dict(zip(kernel.arg_names, args, strict=False)) | named))

    with ExitStack() as stack:
        stack.enter_context(patch.object(JITFunction, "run", run))
        stack.enter_context(patch.object(mlp, "admit", lambda *_: None))
        stack.enter_context(patch.object(mlp, "chip_of", lambda _: chip))
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
