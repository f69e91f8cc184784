"""The MLP kernels with all that they can have: layer norm, biases, residual, and swiglu, which holds most at a time."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import mlp, mlp_backward
from isoflop.kernels.configurations import table
from proof.job import Job

SIZES = {"M": "i32:16", "D": "i32:16", "F": "i32:16", "eps": "fp32"}
TYPES = {16: "*bf16", 32: "*fp32"}
KERNELS = {
    "mlp": (mlp._mlp_fwd, "X G B W_IN B_IN W_OUT B_OUT Y", "", {}),
    "mlp_backward_rows": (mlp_backward._mlp_bwd_rows, "DY X G B W_IN B_IN W_OUT DX", "DG DB DB_OUT", {}),
    "mlp_backward_columns": (
        mlp_backward._mlp_bwd_columns, "DY X G B W_IN B_IN W_OUT DW_IN DB_IN DW_OUT", "", {"steps": "i32"},
    ),
}  # fmt: skip


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for op, (kernel, data, sums, more) in KERNELS.items():
        for tile in table(op, chip):
            types = dict.fromkeys(data.split(), TYPES[tile.bits]) | dict.fromkeys(sums.split(), "*fp32") | SIZES | more
            constants = {"NORM": "layer", "KIND": "swiglu", "RESIDUAL": True, "WIDTH": tile.width}
            taken = {name: value for name, value in constants.items() if name in kernel.arg_names}
            yield (
                f"{op} {tile['rows']}x{tile.width}x{tile['hidden']} {TYPES[tile.bits][1:]}",
                Job(kernel, types, tile, taken),
            )
