"""The attention kernels, causal, at the widest head that each row of their tables serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isoflop.kernels import attention, attention_dkdv, attention_dq
from isoflop.kernels.configurations import table
from proof.job import Job

SIZES = {"heads": "i32", "group": "i32", "T": "i32:16", "scale": "fp32"}
OWN = {"SCALES": "*fp64", "RATE": "*fp64", "SEED": "*i64", "STEP": "*i64", "START": "*i64", "op": "i32"}
KERNELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "attention": (attention._attention_fwd, ("Q", "K", "V", "Y")),
    "attention_dq": (attention_dq._attention_dq, ("DY", "Q", "K", "V", "Y", "DQ")),
    "attention_dkdv": (attention_dkdv._attention_dkdv, ("DY", "Q", "K", "V", "DK", "DV")),
}
SPILLS = "the hash of every weight comes beside tiles that are chosen for attention without dropout"


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for op, (kernel, tensors) in KERNELS.items():
        for row in table(op, chip):
            width, element = row.width or attention.WIDEST, "bf16" if row.bits == 16 else "fp32"
            types = dict.fromkeys(tensors, f"*{element}") | SIZES
            types |= {name: "*fp32" for name in ("LSE", "DELTA") if name in kernel.arg_names}
            shape = {"CAUSAL": True, "C": width, "WIDTH": width, "window": None} | dict.fromkeys(OWN)
            yield f"{op} {element} {width}", Job(kernel, types, row, shape)
            if width == 64:
                own = {name: value for name, value in shape.items() if name not in OWN}
                yield f"{op} {element} {width} by chance", Job(kernel, types | OWN, row, own, SPILLS)
