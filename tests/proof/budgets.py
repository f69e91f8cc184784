"""What the compiler makes of every kernel for every chip, on a machine with none of them.

PYTHONPATH=tests python -m proof.budgets            writes kernels/budgets/<chip>.json: measures what is not sealed
PYTHONPATH=tests python -m proof.budgets norm_fwd   measures anew the jobs that begin so; '' is all of them

Triton compiles to the chip's own code without a driver; registers, spills, shared memory, matrix instructions and the
width of loads are read from that code (``proof.machine_code``). It is compiled without line information, which changes
registers by a few: a kernel that moves in its file is the same kernel. A compile says nothing of time.

Eight chips take twenty minutes of a core, so a measurement is sealed: its seal is a digest of what was found and of the
``program``, all that decides what the compiler makes. While it stands, nothing need be compiled to know what would be
found; a kernel, tile, type, option or compiler that is another breaks it, and so does a number written by hand.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton import knobs
from triton._C.libtriton import get_cache_invalidating_env_vars, ir
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel, make_backend

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
FOUND = (*COSTS, "matrix", "wide_loads")
FOLDER = Path(__file__).resolve().parents[2] / "kernels" / "budgets"
Measured = dict[str, Any]
"""Of a job on a chip: registers, spills, shared (bytes), matrix (instructions by kind), wide_loads, because, seal."""


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


def _given(chip: str, job: Job) -> tuple[ASTSource, dict[str, Any]]:
    """The source and the options that the compiler is given for one job."""
    names = job.kernel.arg_names
    constants = {name: value for name, value in job.configuration.constants.items() if name in names} | job.constants
    signature = {name: job.types.get(name, "constexpr").removesuffix(":16") for name in names}
    divisible = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(names)
        if name not in constants and (signature[name][0] == "*" or job.types[name].endswith(":16"))
    }
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(job.kernel, signature=signature, constexprs=values, attrs=divisible)
    return source, job.configuration.launch_on(CHIPS[chip].target.warp_size) | {"enable_fp_fusion": True}


def compiled(chip: str, job: Job) -> CompiledKernel:
    """One job as it is for one chip."""
    source, options = _given(chip, job)
    with knobs.compilation.scope():
        knobs.compilation.disable_line_info = True
        return triton.compile(source, target=CHIPS[chip].target, options=options)


def program(chip: str, job: Job) -> str:
    """All that decides what the compiler makes of a job on a chip: its version, its options, the job in Triton's IR.

    The IR is without names and lines of the source: a kernel that is moved or said in other words is the same program.
    """
    source, given = _given(chip, job)
    target = CHIPS[chip].target
    backend = make_backend(target)
    options, context = backend.parse_options(given), ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    code = backend.get_codegen_implementation(options), backend.get_module_map()
    module = source.make_ir(target, options, *code, context)
    flags = str(sorted(get_cache_invalidating_env_vars().items()))
    return "\n".join((triton.__version__, backend.hash(), options.hash(), flags, module.str_nodebug()))


def seal(chip: str, job: Job, found: Measured) -> str:
    """A digest of the program of a job and of what was found of it."""
    numbers = json.dumps({what: found.get(what) for what in FOUND}, sort_keys=True)
    return hashlib.sha256(f"{program(chip, job)}\n{numbers}".encode()).hexdigest()[:16]


def unsealed(chip: str, known: dict[str, Measured]) -> list[str]:
    """Jobs whose program, or what was found of it, is not the one that ``known`` tells of."""
    told = {name: known.get(name, {}) for name in jobs(chip)}
    return [name for name, job in jobs(chip).items() if told[name].get("seal") != seal(chip, job, told[name])]


def measure(chip: str, job: Job) -> Measured:
    """Registers, spills, shared bytes, matrix instructions by kind and loads of 128 bits of one job on one chip."""
    kernel, read = compiled(chip, job), machine_code.READERS[CHIPS[chip].target.backend]
    return {"shared": kernel.metadata.shared} | read(kernel.asm)


def measure_chip(chip: str, names: Iterable[str]) -> dict[str, Measured]:
    """Jobs on one chip by name."""
    of_chip = jobs(chip)
    return {name: measure(chip, of_chip[name]) for name in names}


def budget(chip: str) -> dict[str, Measured]:
    """What is written down for ``chip``, if anything; where registers spill, ``because`` says why."""
    path = FOLDER / f"{chip}.json"
    return json.loads(path.read_text()) if path.exists() else {}


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
    rest = {what: value for what, value in measured.items() if what not in ("matrix", "because", "seal")}
    return rest | measured["matrix"]


def write(prefix: str | None = None) -> None:
    """Measure what is not sealed, or what begins with ``prefix``, and write it and the rest as it was."""
    FOLDER.mkdir(exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        for chip, known in zip(CHIPS, pool.map(_renewed, CHIPS, [prefix] * len(CHIPS)), strict=True):
            lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in known.items()]
            (FOLDER / f"{chip}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _renewed(chip: str, prefix: str | None) -> dict[str, Measured]:
    known, of_chip = budget(chip), jobs(chip)
    names = unsealed(chip, known) if prefix is None else [name for name in of_chip if name.startswith(prefix)]
    for name, found in measure_chip(chip, names).items():
        spills = max(found["spills"], of_chip[name].spills)
        reason = {"spills": spills, "because": of_chip[name].because} if spills and of_chip[name].because else {}
        known[name] = found | reason
        known[name]["seal"] = seal(chip, of_chip[name], known[name])
    return {name: known[name] for name in of_chip if name in known}


if __name__ == "__main__":
    write(*sys.argv[1:])
