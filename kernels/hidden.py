"""Activations of hidden columns that lie in memory, for rows too wide for the MLP in one kernel: forward and backward.

    a = act(z),   dz = da act'(z)       formulas in ``activation``; gated: z (M, 2 F), gates first, and a (M, F)

Minimum bytes of M rows of F hidden columns at s bytes an element: 2 M F s forward and 3 M F s backward, gated 3 M F s
and 5 M F s: read z, or da and z, write a, or dz. Some ten FLOPs an element: bandwidth decides on every GPU.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.activation import activate, activation_gradient
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.signatures import activation_halves, check

FLOPS = 10
"""An element of either pass, about: an exponential or an error function counts one."""


@triton.jit
def _activation(
    DA, Z, OUT, M, F, BACK: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Grid (cdiv(M, ROWS) cdiv(F, COLUMNS), K). Z (K, M, F or 2 F) to OUT, its like where BACK, else (K, M, F).

    DA (K, M, F) where BACK, else None.
    """
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(F, COLUMNS)
    row = (tl.program_id(0) // tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = (tl.program_id(0) % tiles) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    live, narrow, wide = (
        (row < M) & (column < F),
        (model * M + row) * F + column,
        (model * M + row) * F * gated + column,
    )
    z = tl.load(Z + wide, mask=live, other=0.0).to(tl.float32)
    value = z
    if KIND == "swiglu":
        value = tl.load(Z + wide + F, mask=live, other=0.0).to(tl.float32)
    if BACK:
        da = tl.load(DA + narrow, mask=live, other=0.0).to(tl.float32)
        dz, dvalue = activation_gradient(z, value, da, KIND)
        tl.store(OUT + wide, dz.to(OUT.dtype.element_ty), mask=live)
        if KIND == "swiglu":
            tl.store(OUT + wide + F, dvalue.to(OUT.dtype.element_ty), mask=live)
    else:
        tl.store(OUT + narrow, activate(z, value, KIND).to(OUT.dtype.element_ty), mask=live)


def forward(z: Tensor, *, kind: str, out: Tensor | None = None) -> Tensor:
    """The activation (K, M, F) of z (K, M, F), (K, M, 2 F) where gated; ``kind`` is one of ``activation.KINDS``.

    ``out`` is written where given. Raises KernelError, before any launch, for a ``z`` that ``signatures.check`` refuses
    or that is on no GPU, for an odd width where gated, an unknown kind, and for an ``out`` of another form.
    """
    sizes = check("activation", x=z)
    halves = activation_halves(kind)
    if sizes["I"] % halves:
        raise KernelError(f"activation: {kind} needs gates and values, and x has {sizes['I']} columns")
    return _launch("activation", None, z, sizes, sizes["I"] // halves, kind, sizes["I"] // halves, out)


def backward(da: Tensor, z: Tensor, *, kind: str, out: Tensor | None = None) -> Tensor:
    """The gradient of z from ``da`` (K, M, F), in ``out`` where given. Raises KernelError as :func:`forward` does."""
    sizes = check("activation_backward", dy=da, x=z)
    if sizes["I"] != activation_halves(kind) * sizes["F"]:
        raise KernelError(f"activation: x has {sizes['I']} columns and dy {sizes['F']}, with {kind}")
    return _launch("activation_backward", da, z, sizes, sizes["F"], kind, sizes["I"], out)


def least_bytes(rows: int, deep: int, size: int, *, kind: str) -> tuple[int, int]:
    """That one model reads and writes at ``size`` bytes an element, forward and backward."""
    halves = activation_halves(kind)
    return size * (halves + 1) * rows * deep, size * (2 * halves + 1) * rows * deep


def _launch(
    op: str, da: Tensor | None, z: Tensor, sizes: dict[str, int], deep: int, kind: str, width: int, out: Tensor | None
) -> Tensor:
    admit(op, "x", z)
    models, rows = sizes["K"], sizes["M"]
    form = (models, rows, width), z.dtype
    made: Tensor = buffers(op, z.device, None if out is None else (out,), y=form)[0]
    tile = configuration("activation", width=deep, dtype=z.dtype, chip=chip_of(z.device))
    _activation[(triton.cdiv(rows, tile["rows"]) * triton.cdiv(deep, tile["columns"]), models)](
        da, z, made, rows, deep, BACK=da is not None, KIND=kind, **tile.constants, **tile.launch
    )
    return made
