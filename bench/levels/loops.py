"""The loop over hidden columns as the machine runs it: its instructions, and how many programs run it side by side.

A multiprocessor issues at most four instructions a clock, one for each of its schedulers; an instruction is a warp's.
"""

from __future__ import annotations

import re
import subprocess
import tempfile

from proof.machine_code import TOOLS

REGISTERS = 65536  # of a multiprocessor; CUDA C++ programming guide, technical specifications per compute capability
RESERVED = 1024  # bytes of shared memory that each program has beside its own; the same table
LABEL, INSTRUCTION = re.compile(r"\s*(\.L_\w+):"), re.compile(r"\s*/\*[0-9a-f]+\*/\s+(.*?);")
BRANCH = re.compile(r"BRA.*`\((\.L_\w+)\)")


def longest_loop(cubin: bytes) -> int:
    """Instructions of the longest stretch that a branch goes back over."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        code = subprocess.run([TOOLS / "nvdisasm", "-c", file.name], capture_output=True, text=True, check=True).stdout
    labels: dict[str, int] = {}
    count = longest = 0
    for line in code.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = count
        elif instruction := INSTRUCTION.match(line):
            count += 1
            if (back := BRANCH.search(instruction[1])) and back[1] in labels:
                longest = max(longest, count - labels[back[1]])
    return longest


def issued(loop: int, warps: int, rows: int, hidden: int) -> float:
    """Instructions that the warps of a program issue for each hidden number that it makes, one a row and column."""
    return loop * warps / (rows * hidden)


def programs(registers: int, warps: int, shared: int, largest: int) -> int:
    """Programs that fit a multiprocessor: registers are given by eights, ``largest`` is one program's most."""
    by_registers = REGISTERS // (-(-registers // 8) * 8 * 32 * warps)
    return min(by_registers, (largest + RESERVED) // (shared + RESERVED))
