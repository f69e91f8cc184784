"""What the compiler makes of every kernel for every chip, on a machine with none of them.

PYTHONPATH=tests python -m proof.budgets            writes kernels/budgets/<chip>.json
PYTHONPATH=tests python -m proof.budgets norm_fwd   measures anew only the jobs that begin so

Triton compiles to the chip's own code without a driver; registers, spills, shared memory, matrix instructions and the
width of loads are read from that code. A compile says nothing of time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from proof.job import Job
from proof.jobs import (
    adamw,
    attention,
    block,
    cross_entropy,
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

FOLDER = Path(__file__).resolve().parents[2] / "kernels" / "budgets"
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
WIDE_NVIDIA = r"\bld\.global\S*\.v(?:4\.[bfu]32|2\.[bfu]64)|\bcp\.async\.cg\.shared\.global [^;]*, 0x10\b"
MATRIX_NVIDIA, MATRIX_AMD = r"\b(?:mma\.sync|wgmma\.mma_async|tcgen05\.mma)\b", r"\bv_w?m(?:fma|ma)_\w+"


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


def measure(chip: str, job: Job) -> dict[str, int]:
    """Registers, spills, shared bytes, matrix instructions and loads of 128 bits of one job on one chip."""
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
    compiled = triton.compile(source, target=target, options=options)
    read = _read_nvidia if target.backend == "cuda" else _read_amd
    return {"shared": compiled.metadata.shared} | read(compiled.asm)


def _read_nvidia(asm: dict[str, Any]) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        usage = _run("cuobjdump", "-res-usage", file.name)
        spilled = re.search(r"STACK:0\b.*LOCAL:0\b", usage) is None  # the disassembler takes as long as the compiler
        code = _run("nvdisasm", "-c", file.name) if spilled else ""
    return {
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", code)),
        "matrix": len(re.findall(MATRIX_NVIDIA, asm["ptx"])),
        "wide_loads": len(re.findall(WIDE_NVIDIA, asm["ptx"])),
    }


def _run(tool: str, option: str, path: str) -> str:
    return subprocess.run([TOOLS / tool, option, path], capture_output=True, text=True, check=True).stdout


def _read_amd(asm: dict[str, Any]) -> dict[str, int]:
    code = asm["amdgcn"]
    return {
        "registers": int(re.search(r"\.vgpr_count:\s+(\d+)", code)[1]),
        "spills": int(re.search(r"\.vgpr_spill_count:\s+(\d+)", code)[1]),
        "matrix": len(re.findall(MATRIX_AMD, code)),
        "wide_loads": len(re.findall(r"\b(?:global|buffer)_load_(?:lds_)?dwordx4\b", code)),
    }


def measure_chip(chip: str, prefix: str = "") -> dict[str, dict[str, int]]:
    """Every job on one chip whose name begins with ``prefix``."""
    return {name: measure(chip, job) for name, job in jobs(chip).items() if name.startswith(prefix)}


def budget(chip: str) -> dict[str, dict[str, Any]]:
    """What is written down for ``chip``; where registers spill, ``because`` says why."""
    return json.loads((FOLDER / f"{chip}.json").read_text())


def worse(before: dict[str, dict[str, Any]], after: dict[str, dict[str, int]]) -> list[str]:
    """Where ``after`` needs more, or does less, than ``before``: one line each."""
    lines = [f"{name}: has no budget" for name in after.keys() - before.keys()]
    lines += [f"{name}: is no longer compiled" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        for what, new in after[name].items():
            old = before[name][what]
            if new < old if what in ("matrix", "wide_loads") else new > old:
                lines.append(f"{name}: {what} {old} -> {new}")
    return sorted(lines)


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


def _with_reason(measured: dict[str, int], job: Job) -> dict[str, Any]:
    return measured | ({"because": job.because} if measured["spills"] and job.because else {})


if __name__ == "__main__":
    write("".join(sys.argv[1:]))
