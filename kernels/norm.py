"""Layer and RMS norm of the rows of K models, with the residual add fused: forward and backward.

    t = x + residual                        rounded to the dtype of x
    n = (t - mean) rstd   (layer)  or  t rstd   (rms),   rstd = 1/sqrt(mean((t - mean)^2 or t^2) + eps)
    y = n gain + bias
    dt = rstd (w - mean(w) - n mean(w n)) + dtotal,   w = dy gain   (rms: without mean(w))
    dgain = sum over rows of dy n,   dbias = sum over rows of dy

FLOPs of M rows of D with add and bias: 8 M D forward and 14 M D backward (layer), 6 M D and 11 M D (rms). Minimum bytes
at s bytes an element: 4 M D s forward with the add (read x and residual, write t and y; 2 M D s without), 4 M D s
backward (read dy, dtotal, t; write dt). Arithmetic intensity of a layer norm at two bytes: 1 and 1.75 FLOPs a byte,
far below the ridge of every GPU: bandwidth decides.

A program holds a tile of rows, several of them where rows are short. The first ``COLUMNS`` columns of a row stay in
registers; only a wider row is read again, piece by piece. Gradients of gain and bias are summed over the rows of a
program, then over programs by a second kernel in a fixed order: no atomics, the same bits every time.
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
from isoflop.kernels.signatures import NORMS, check, check_norm_kind

KINDS = NORMS
FLOPS = {"layer": (8, 14), "rms": (6, 11)}  # an element, with add and bias: forward, backward
PROGRAMS = 128  # of a model in the backward pass: more would write more partial rows than they save time


@triton.jit
def _read_sum(X, R, at, mask):
    x = read(X, at, mask)
    if R is not None:
        x = (x + read(R, at, mask)).to(X.dtype.element_ty).to(tl.float32)
    return x


@triton.jit
def _norm_fwd(X, R, G, B, T, Y, MEAN, RSTD, M, D, eps, LAYER: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Grid (cdiv(M, ROWS), K). X, R, T, Y (K, M, D); G, B (K, D); MEAN, RSTD (K, M) float32; R, B, T, MEAN or None."""
    model, row = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)[None, :]
    live = (row + rows < M)[:, None]
    base, tile = (model * M + row) * D, rows[:, None] * D + cols
    first = _read_sum(X, R, base + tile, live & (cols < D))
    mean = tl.zeros((ROWS, 1), tl.float32)
    if LAYER:
        mean += tl.sum(first, 1)[:, None]
        for c in range(COLUMNS, D, COLUMNS):
            mean += tl.sum(_read_sum(X, R, base + tile + c, live & (cols + c < D)), 1)[:, None]
        mean /= D
        tl.store(MEAN + model * M + row + rows[:, None], mean, mask=live)
    apart = tl.where(cols < D, first - mean, 0.0)
    square = tl.sum(apart * apart, 1)[:, None]
    for c in range(COLUMNS, D, COLUMNS):
        t = _read_sum(X, R, base + tile + c, live & (cols + c < D))
        apart = tl.where(cols + c < D, t - mean, 0.0)
        square += tl.sum(apart * apart, 1)[:, None]
    rstd = 1.0 / tl.sqrt_rn(square / D + eps)
    tl.store(RSTD + model * M + row + rows[:, None], rstd, mask=live)
    _write_normed(first, mean, rstd, G, B, T, Y, model * D + cols, base + tile, cols < D, live)
    for c in range(COLUMNS, D, COLUMNS):
        t = _read_sum(X, R, base + tile + c, live & (cols + c < D))
        _write_normed(t, mean, rstd, G, B, T, Y, model * D + cols + c, base + tile + c, cols + c < D, live)


@triton.jit
def _write_normed(t, mean, rstd, G, B, T, Y, column, at, inside, live):
    y = (t - mean) * rstd * read(G, column, inside)
    if B is not None:
        y += read(B, column, inside)
    if T is not None:
        tl.store(T + at, t.to(T.dtype.element_ty), mask=live & inside)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=live & inside)


@triton.jit
def _norm_bwd(
    DY, DT, T, G, MEAN, RSTD, DX, DG, DB, M, D, steps, LAYER: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Grid (P, K), ``steps`` tiles a program, one where D > COLUMNS. DG, DB (K, P, D) float32; MEAN, DT or DB None."""
    model, program = tl.program_id(1).to(tl.int64), tl.program_id(0)
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)[None, :]
    tile, partial = rows[:, None] * D + cols, (model * tl.num_programs(0) + program) * D + cols
    dgain, dbias = tl.zeros((1, COLUMNS), tl.float32), tl.zeros((1, COLUMNS), tl.float32)
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
        dgain += tl.sum(dy * n, 0)[None, :]
        dbias += tl.sum(dy, 0)[None, :]
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
    tl.store(DG + partial, dgain, mask=cols < D)
    if DB is not None:
        tl.store(DB + partial, dbias, mask=cols < D)


@triton.jit
def _read_pair(DY, T, at, mean, rstd, mask):
    return read(DY, at, mask), tl.where(mask, (read(T, at, mask) - mean) * rstd, 0.0)


@triton.jit
def _write_gradient(dx, DT, DX, at, mask):
    if DT is not None:
        dx += read(DT, at, mask)
    tl.store(DX + at, dx.to(DX.dtype.element_ty), mask=mask)


def forward(
    x: Tensor, gain: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, *, kind: str,
    eps: float = 1e-5, out: tuple[Tensor, Tensor, Tensor | None, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:  # fmt: skip
    """Norm of ``x``, or of ``x + residual``: (K, M, D), with gain and bias (K, D).

    Returns y, the total (``x`` itself without a residual), the mean (K, M) of a layer norm, and rstd (K, M), float32;
    ``out``, the results of an earlier call, is filled again. Raises KernelError, before any launch, for tensors that
    ``signatures.check`` refuses or that are on no GPU, and for an ``out`` of another form.
    """
    check_norm_kind(kind)
    op, add = ("norm", {}) if residual is None else ("add_norm", {"residual": residual})
    sizes = check(op, x=x, gain=gain, bias=bias, **add)
    admit(op, "x", x)
    models, rows, width = sizes["K"], sizes["M"], sizes["D"]
    row, statistic = (tuple(x.shape), x.dtype), ((models, rows), torch.float32)
    y, stored, mean, rstd = buffers(
        "norm", x.device, None if out is None else (out[0], out[1] if add else None, *out[2:]), y=row,
        total=row if add else None, mean=statistic if kind == "layer" else None, rstd=statistic,
    )  # fmt: skip
    tile = configuration("norm", width=width, dtype=x.dtype, chip=chip_of(x.device))
    _norm_fwd[(triton.cdiv(rows, tile["rows"]), models)](
        x, residual, gain, bias, stored, y, mean, rstd, rows, width, eps,
        LAYER=kind == "layer", **tile.constants, **tile.launch,
    )  # fmt: skip
    return y, x if stored is None else stored, mean, rstd


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
    """Gradients from ``dy``, the results of :func:`forward`, and the gradient of its total.

    ``dx`` is that of ``x`` and of ``residual`` alike. ``out`` is filled as in :func:`forward`, and raises the same.
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


def least_bytes(rows: int, width: int, size: int, *, add: bool) -> tuple[int, int]:
    """That one model reads and writes at ``size`` bytes an element, forward and backward, vectors aside.

    ``add``: with a residual, and with a gradient of the total.
    """
    return (4 if add else 2) * rows * width * size, (4 if add else 3) * rows * width * size
