"""What a compiler made of a kernel, read from the code of its chip."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
WIDE_NVIDIA = r"\bld\.global\S*\.v(?:4\.[bfu]32|2\.[bfu]64)|\bcp\.async\.cg\.shared\.global [^;]*, 0x10\b"
WIDE_AMD = r"\b(?:global|buffer)_load_(?:lds_)?dwordx4\b"

# With shape and dtypes, as the PTX ISA spells them (mma, wgmma.mma_async, tcgen05.mma, whose f16 is any 16-bit float)
# and the ISA guides of CDNA 3 and 4 do.
MATRIX_NVIDIA = r"\b(?:mma|wgmma\.mma_async|tcgen05\.mma)\.[\w.:]+"
MATRIX_AMD = r"\bv_s?w?m(?:fma|ma)\w*_\w+"


def read_nvidia(asm: dict[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        usage = _run("cuobjdump", "-res-usage", file.name)
        spilled = re.search(r"STACK:0\b.*LOCAL:0\b", usage) is None  # the disassembler takes as long as the compiler
        code = _run("nvdisasm", "-c", file.name) if spilled else ""
    return {
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", code)),
        "matrix": by_name(MATRIX_NVIDIA, asm["ptx"]),
        "wide_loads": len(re.findall(WIDE_NVIDIA, asm["ptx"])),
    }


def _run(tool: str, option: str, path: str) -> str:
    return subprocess.run([TOOLS / tool, option, path], capture_output=True, text=True, check=True).stdout


def read_amd(asm: dict[str, Any]) -> dict[str, Any]:
    code = asm["amdgcn"]
    return {
        "registers": int(re.search(r"\.vgpr_count:\s+(\d+)", code)[1]),
        "spills": int(re.search(r"\.vgpr_spill_count:\s+(\d+)", code)[1]),
        "matrix": by_name(MATRIX_AMD, code),
        "wide_loads": len(re.findall(WIDE_AMD, code)),
    }


def by_name(pattern: str, code: str) -> dict[str, int]:
    """How often each instruction that fits ``pattern`` stands in ``code``."""
    return dict(sorted(Counter(re.findall(pattern, code)).items()))


READERS = {"cuda": read_nvidia, "hip": read_amd}
