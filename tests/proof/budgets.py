"""What the compiler makes of every kernel for every chip, on a machine with none of them.

PYTHONPATH=tests python -m proof.budgets            writes kernels/budgets/<chip>.json
PYTHONPATH=tests python -m proof.budgets norm_fwd   measures anew only the jobs that begin so

Triton compiles to the chip's own code without a driver; registers, spills, shared memory, matrix instructions and the
width of loads are read from that code (``proof.machine_code``). It is compiled without line information, which changes
registers by a few: a kernel that moves in its file is the same kernel. A compile says nothing of time.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from proof import machine_code
from proof.job import Job
from proof.jobs import (
    adafactor,
    adamw,
    attention,
    block,
    cross_entropy,
    dropout,
    embed,
    hidden,
    linear,
    mlp,
    moe,
    muon,
    noise,
    norm,
    partial,
    qkv,
)

COSTS = ("shared", "registers", "spills")
FOLDER = Path(__file__).resolve().parents[2] / "kernels" / "budgets"
Measured = dict[str, Any]
"""Of one job on one chip: registers, spills, shared (bytes), matrix (instructions by kind), wide_loads, because."""


class Chip(NamedTuple):
    """A compile target and the largest shared memory of one program, in bytes."""

    target: GPUTarget
    shared: int


# CUDA C++ programming guide, technical specifications per compute capability; AMD CDNA 3 and 4 ISA guides, LDS.
CHIPS = {
    "sm_80": Chip(GPUTarget("cuda", 80, 32), 163 * 1024),
    "sm_86": Chip(GPUTarget("cuda", 86, 32), 99 * 1024),
    "sm_89": Chip(GPUTarget("cuda", 89, 32), 99 * 1024),
    "sm_90": Chip(GPUTarget("cuda", 90, 32), 227 * 1024),
    "sm_100": Chip(GPUTarget("cuda", 100, 32), 227 * 1024),
    "sm_120": Chip(GPUTarget("cuda", 120, 32), 99 * 1024),
    "gfx942": Chip(GPUTarget("hip", "gfx942", 64), 64 * 1024),
    "gfx950": Chip(GPUTarget("hip", "gfx950", 64), 160 * 1024),
}


OPS = (
    norm.jobs,
    adamw.jobs,
    adafactor.jobs,
    partial.jobs,
    linear.jobs,
    qkv.jobs,
    cross_entropy.jobs,
    embed.jobs,
    noise.jobs,
    moe.jobs,
    muon.jobs,
    attention.jobs,
    mlp.jobs,
    block.jobs,
    dropout.jobs,
    hidden.jobs,
)


def jobs(chip: str) -> dict[str, Job]:
    """Every kernel at every row of its table that ``chip`` can meet, by name."""
    return dict(job for of_op in OPS for job in of_op(chip))


def compiled(chip: str, job: Job) -> CompiledKernel:
    """One job as it is for one chip."""
    target, names = CHIPS[chip].target, job.kernel.arg_names
    constants = {name: value for name, value in job.configuration.constants.items() if name in names} | job.constants
    signature = {name: job.types.get(name, "constexpr").removesuffix(":16") for name in names}
    divisible = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(names)
        if name not in constants and (signature[name][0] == "*" or job.types[name].endswith(":16"))
    }
    given = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(job.kernel, signature=signature, constexprs=given, attrs=divisible)
    options = job.configuration.launch_on(target.warp_size) | {"enable_fp_fusion": True}
    with knobs.compilation.scope():
        knobs.compilation.disable_line_info = True
        return triton.compile(source, target=target, options=options)


def measure(chip: str, job: Job) -> Measured:
    """Registers, spills, shared bytes, matrix instructions by kind and loads of 128 bits of one job on one chip."""
    kernel, read = compiled(chip, job), machine_code.READERS[CHIPS[chip].target.backend]
    return {"shared": kernel.metadata.shared} | read(kernel.asm)


def measure_chip(chip: str, prefix: str = "") -> dict[str, Measured]:
    """Every job on one chip whose name begins with ``prefix``."""
    return {name: measure(chip, job) for name, job in jobs(chip).items() if name.startswith(prefix)}


def budget(chip: str) -> dict[str, Measured]:
    """What is written down for ``chip``; where registers spill, ``because`` says why."""
    return json.loads((FOLDER / f"{chip}.json").read_text())


def worse(before: dict[str, Measured], after: dict[str, Measured]) -> list[str]:
    """Where ``after`` needs more, or does less, than ``before``: one line each. Of matrix instructions: by kind."""
    lines = [f"{name}: has no budget" for name in after.keys() - before.keys()]
    lines += [f"{name}: is no longer compiled" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        old, new = (_flat(of_job) for of_job in (before[name], after[name]))
        for what in old.keys() | new.keys():
            was, now = old.get(what, 0), new.get(what, 0)
            if now > was if what in COSTS else now < was:
                lines.append(f"{name}: {what} {was} -> {now}")
    return sorted(lines)


def _flat(measured: Measured) -> dict[str, int]:
    rest = {what: value for what, value in measured.items() if what not in ("matrix", "because")}
    return rest | measured["matrix"]


def write(prefix: str) -> None:
    """Measure all chips and write their budgets, what does not begin with ``prefix`` as it was."""
    FOLDER.mkdir(exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        for chip, measured in zip(CHIPS, pool.map(measure_chip, CHIPS, [prefix] * len(CHIPS)), strict=True):
            kept = budget(chip) if prefix else {}
            known = kept | {name: _with_reason(of_job, jobs(chip)[name]) for name, of_job in measured.items()}
            known = {name: known[name] for name in jobs(chip) if name in known}
            lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in known.items()]
            (FOLDER / f"{chip}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _with_reason(measured: Measured, job: Job) -> Measured:
    spills = max(measured["spills"], job.spills)
    return measured | ({"spills": spills, "because": job.because} if spills and job.because else {})


if __name__ == "__main__":
    write("".join(sys.argv[1:]))
