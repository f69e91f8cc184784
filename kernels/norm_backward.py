"""Gradients of layer and RMS norm of the rows of K models, with that of the residual add.

    dt = rstd (w - mean(w) - n mean(w n)) + dtotal,   w = dy gain   (rms: without mean(w))
    dgain = sum over rows of dy n,   dbias = sum over rows of dy          t, n and rstd as in ``norm``

FLOPs of M rows of D: 14 M D (layer) or 11 M D (rms). Minimum bytes at s bytes an element: 4 M D s (read dy, dtotal, t;
write dt; 3 M D s without dtotal). Arithmetic intensity of a layer norm at two bytes: 1.75 FLOPs a byte: bandwidth
decides.

Gradients of gain and bias are summed over the rows of a program, then over programs by a second kernel in a fixed
order: no atomics, the same bits every time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.partial import add_partials
from isoflop.kernels.row_norm import read
from isoflop.kernels.signatures import check

PROGRAMS = 512  # of a model: more would write more partial rows than they save time


@triton.jit
def _norm_bwd(
    DY, DT, T, G, MEAN, RSTD, DX, DG, DB, M, D, steps, LAYER: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Grid (P, K), ``steps`` tiles a program, one where D > COLUMNS. DG, DB (K, P, D) float32; MEAN, DT or DB None."""
    model, program = tl.program_id(1).to(tl.int64), tl.program_id(0)
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)[None, :]
    tile, partial = rows[:, None] * D + cols, (model * tl.num_programs(0) + program) * D + cols
    dgain, dbias = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(steps):
        row = (program.to(tl.int64) * steps + step) * ROWS
        live = (row + rows < M)[:, None]
        base = (model * M + row) * D
        rstd = tl.load(RSTD + model * M + row + rows[:, None], mask=live, other=0.0)
        mean = tl.zeros((ROWS, 1), tl.float32)
        if LAYER:
            mean += tl.load(MEAN + model * M + row + rows[:, None], mask=live, other=0.0)
        dy, n = _read_pair(DY, T, base + tile, mean, rstd, live & (cols < D))
        w = dy * read(G, model * D + cols, cols < D)
        dgain += dy * n
        dbias += dy
        along, across = tl.sum(w, 1)[:, None], tl.sum(w * n, 1)[:, None]
        for c in range(COLUMNS, D, COLUMNS):
            dy2, n2 = _read_pair(DY, T, base + tile + c, mean, rstd, live & (cols + c < D))
            w2 = dy2 * read(G, model * D + cols + c, cols + c < D)
            along += tl.sum(w2, 1)[:, None]
            across += tl.sum(w2 * n2, 1)[:, None]
            tl.store(DG + partial + c, tl.sum(dy2 * n2, 0)[None, :], mask=cols + c < D)
            if DB is not None:
                tl.store(DB + partial + c, tl.sum(dy2, 0)[None, :], mask=cols + c < D)
        along = along / D if LAYER else tl.zeros((ROWS, 1), tl.float32)
        across /= D
        _write_gradient(rstd * (w - along - n * across), DT, DX, base + tile, live & (cols < D))
        for c in range(COLUMNS, D, COLUMNS):
            dy2, n2 = _read_pair(DY, T, base + tile + c, mean, rstd, live & (cols + c < D))
            w2 = dy2 * read(G, model * D + cols + c, cols + c < D)
            _write_gradient(rstd * (w2 - along - n2 * across), DT, DX, base + tile + c, live & (cols + c < D))
    tl.store(DG + partial, tl.sum(dgain, 0)[None, :], mask=cols < D)
    if DB is not None:
        tl.store(DB + partial, tl.sum(dbias, 0)[None, :], mask=cols < D)


@triton.jit
def _read_pair(DY, T, at, mean, rstd, mask):
    return read(DY, at, mask), tl.where(mask, (read(T, at, mask) - mean) * rstd, 0.0)


@triton.jit
def _write_gradient(dx, DT, DX, at, mask):
    if DT is not None:
        dx += read(DT, at, mask)
    tl.store(DX + at, dx.to(DX.dtype.element_ty), mask=mask)


class Gradients(NamedTuple):
    """Of x, gain and bias; the partial sums behind the last two are room for the next call."""

    dx: Tensor
    dgain: Tensor
    dbias: Tensor | None
    gain_sums: Tensor
    bias_sums: Tensor | None


def backward(
    dy: Tensor, total: Tensor, gain: Tensor, mean: Tensor | None, rstd: Tensor, dtotal: Tensor | None = None, *,
    has_bias: bool, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy``, the results of :func:`norm.forward`, and the gradient of its total.

    ``dx`` is that of ``x`` and of ``residual`` alike. ``out`` is filled as there, and raises the same.
    """
    sizes = check("norm_backward", dy=dy, total=total, gain=gain, mean=mean, rstd=rstd, dtotal=dtotal)
    admit("norm_backward" if dtotal is None else "add_norm_backward", "dy", dy)
    models, rows, width = sizes["K"], sizes["M"], sizes["D"]
    tile = configuration("norm", width=width, dtype=dy.dtype, chip=chip_of(dy.device))
    tiles = triton.cdiv(rows, tile["rows"])
    steps = 1 if width > tile["columns"] else triton.cdiv(tiles, PROGRAMS)
    vector, sums = ((models, width), gain.dtype), ((models, triton.cdiv(tiles, steps), width), torch.float32)
    made = Gradients(*buffers(
        "norm", dy.device, out, dx=(tuple(total.shape), total.dtype), dgain=vector,
        dbias=vector if has_bias else None, gain_sums=sums, bias_sums=sums if has_bias else None,
    ))  # fmt: skip
    _norm_bwd[(sums[0][1], models)](
        dy, dtotal, total, gain, mean, rstd, made.dx, made.gain_sums, made.bias_sums, rows, width, steps,
        LAYER=mean is not None, **tile.constants, **tile.launch,
    )  # fmt: skip
    add_partials(made.gain_sums, made.dgain)
    if made.dbias is not None and made.bias_sums is not None:
        add_partials(made.bias_sums, made.dbias)
    return made
