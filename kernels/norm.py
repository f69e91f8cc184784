"""Layer and RMS norm of the rows of K models, with the residual add fused; backward is ``norm_backward``.

    t = x + residual                        rounded to the dtype of x
    n = (t - mean) rstd   (layer)  or  t rstd   (rms),   rstd = 1/sqrt(mean((t - mean)^2 or t^2) + eps)
    y = n gain + bias

FLOPs of M rows of D with add and bias: 8 M D (layer) or 6 M D (rms). Minimum bytes at s bytes an element: 4 M D s with
the add (read x and residual, write t and y; 2 M D s without). Arithmetic intensity of a layer norm at two bytes: 1 FLOP
a byte, far below the ridge of every GPU: bandwidth decides.

A program holds a tile of rows, several of them where rows are short. The first ``COLUMNS`` columns of a row stay in
registers; only a wider row is read again, piece by piece.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.row_norm import read
from isoflop.kernels.signatures import NORMS, check, check_norm_kind

KINDS = NORMS
FLOPS = {"layer": (8, 14), "rms": (6, 11)}  # an element, with add and bias: forward, backward


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


def least_bytes(rows: int, width: int, size: int, *, add: bool) -> tuple[int, int]:
    """That one model reads and writes at ``size`` bytes an element, forward and backward, vectors aside.

    ``add``: with a residual, and with a gradient of the total.
    """
    return (4 if add else 2) * rows * width * size, (4 if add else 3) * rows * width * size
