"""Gradients of cross-entropy by x and W, from logits that are computed again, tile by tile, and never in memory.

    q_ij = exp(z_ij - lse_i) (1 + 2 zeta lse_i) - [j = t_i]
    dx_i = g_i sum over j of q_ij w_j,   dw_j = sum over i of g_i q_ij x_i

g_i is weight_i times the gradient of loss i, or dmean/total for that of the mean. FLOPs of the products: each of the
two kernels spends 2 M V D on its gradient, and 2 M V D a piece of the width on the logits: 8 M V D in all where the
width is one piece, 4 M V D more than if logits were kept. Minimum bytes at s bytes an element: s (M D + V D) + 12 M + 4
read, s (M D + V D) written. Arithmetic intensity at V >> M and two bytes: 2 M FLOPs a byte.

A program of the first holds rows of x and streams over the vocabulary, one of the second holds a part of the vocabulary
and streams over the rows. Too few tiles to fill a GPU share the stream out among several programs, whose parts are
added in a fixed order: no atomics, the same bits every time, whatever K. Rows wider than ``library_past`` of the table,
but those in float16, whose range the mean leaves, go to torch's own products: ``cross_entropy_library``.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import cross_entropy_library
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration, library_past
from isoflop.kernels.cross_entropy import share_out
from isoflop.kernels.cross_entropy_join import Gradients
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import admit
from isoflop.kernels.logits import gradient_of_logits, read_tile, scale_of_mean, tile_of_logits, weights_of_rows
from isoflop.kernels.partial import add_partials
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import IGNORED, check


@triton.jit
def _xent_dx(
    X, W, T, LSE, WEIGHTS, DMEAN, TOTAL, DLOSS, DX, M, V, D, steps, ignored, zeta,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), PIECES S, K), ``steps`` tiles of vocabulary a program. DX (K, S, M, D)."""
    model, row = tl.program_id(2).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    piece, split = tl.program_id(1) % PIECES, tl.program_id(1) // PIECES
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    live, at = row + rows < M, model * M + row + rows
    X += (model * M + row) * D
    x = read_tile(X, rows, M - row, piece * DEPTH, D, DEPTH)
    label, weight = weights_of_rows(T, WEIGHTS, DLOSS, at, live, V, ignored)
    lse = tl.load(LSE + at, mask=live, other=0.0)
    dx = tl.zeros((ROWS, DEPTH), tl.float32)
    start = split * steps * COLUMNS
    for v in range(start, tl.minimum(start + steps * COLUMNS, V), COLUMNS):
        tile = W + (model * V + v) * D
        w = read_tile(tile, cols, V - v, piece * DEPTH, D, DEPTH)
        z = tile_of_logits(x, w, X, tile, rows, cols, M - row, V - v, piece, D, DEPTH, PIECES)
        q = gradient_of_logits(z, lse, label, v + cols, zeta)
        dx = add_product(q.to(w.dtype), w, dx)
    dx *= (weight * scale_of_mean(DMEAN, TOTAL, model))[:, None]
    DX += ((model * (tl.num_programs(1) // PIECES) + split) * M + row) * D
    depth = piece * DEPTH + tl.arange(0, DEPTH)[None, :]
    tl.store(DX + rows[:, None] * D + depth, dx.to(DX.dtype.element_ty), mask=live[:, None] & (depth < D))


@triton.jit
def _xent_dw(
    X, W, T, LSE, WEIGHTS, DMEAN, TOTAL, DLOSS, DW, M, V, D, steps, ignored, zeta,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(V, COLUMNS), PIECES S, K), ``steps`` tiles of rows a program. DW (K, S, V, D)."""
    model, v = tl.program_id(2).to(tl.int64), tl.program_id(0).to(tl.int64) * COLUMNS
    piece, split = tl.program_id(1) % PIECES, tl.program_id(1) // PIECES
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    W += (model * V + v) * D
    w = read_tile(W, cols, V - v, piece * DEPTH, D, DEPTH)
    dw = tl.zeros((COLUMNS, DEPTH), tl.float32)
    start = split * steps * ROWS
    for row in range(start, tl.minimum(start + steps * ROWS, M), ROWS):
        live, at = row + rows < M, model * M + row + rows
        tile = X + (model * M + row) * D
        x = read_tile(tile, rows, M - row, piece * DEPTH, D, DEPTH)
        label, weight = weights_of_rows(T, WEIGHTS, DLOSS, at, live, V, ignored)
        lse = tl.load(LSE + at, mask=live, other=0.0)
        z = tile_of_logits(x, w, tile, W, rows, cols, M - row, V - v, piece, D, DEPTH, PIECES)
        q = weight[:, None] * gradient_of_logits(z, lse, label, v + cols, zeta)
        dw = add_product(tl.trans(q.to(x.dtype)), x, dw)
    dw *= scale_of_mean(DMEAN, TOTAL, model)
    DW += ((model * (tl.num_programs(1) // PIECES) + split) * V + v) * D
    depth = piece * DEPTH + tl.arange(0, DEPTH)[None, :]
    tl.store(DW + cols[:, None] * D + depth, dw.to(DW.dtype.element_ty), mask=(v + cols < V)[:, None] & (depth < D))


def backward(
    x: Tensor, weight: Tensor, targets: Tensor, lse: Tensor, total: Tensor, weights: Tensor | None = None, *,
    dmean: Tensor | None = None, dlosses: Tensor | None = None, z_loss: float = 0.0, ignore_index: int = IGNORED,
    want_dx: bool = True, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients by x and weight of the mean, times ``dmean`` (K,) float32 where given, or of the losses by ``dlosses``.

    ``lse`` and ``total`` are those of :func:`isoflop.kernels.cross_entropy.forward`, the other arguments what it was
    called with; ``dlosses`` (K, M) float32 is the gradient by its losses. A caller that has dx from the forward pass
    does without (``want_dx=False``). ``out`` is written again where given. Raises KernelError as ``forward`` does.
    """
    given = {"x": x, "weight": weight, "targets": targets, "lse": lse, "total": total, "weights": weights}
    sizes = check("linear_cross_entropy_backward", **given, dmean=dmean, dlosses=dlosses)
    admit("linear_cross_entropy_backward", "x", x)
    if dmean is not None and dlosses is not None:
        raise KernelError("linear_cross_entropy: the gradient is of the mean or of the losses: dmean or dlosses")
    if is_wide(x):
        return cross_entropy_library.backward(
            x, weight, targets, lse, weights, dmean, None if dlosses is not None else total, dlosses, ignore_index,
            z_loss, want_dx, out,
        )  # fmt: skip
    models, rows, width, vocabulary = (sizes[axis] for axis in "KMDV")
    tile = configuration("cross_entropy_backward", width=width, dtype=x.dtype, chip=chip_of(x.device))
    height, breadth = triton.cdiv(rows, tile["rows"]), triton.cdiv(vocabulary, tile["columns"])
    pieces = triton.cdiv(width, tile["depth"])
    x_steps, x_parts = share_out(breadth, height * pieces)
    w_steps, w_parts = share_out(height, breadth * pieces)
    of_x, of_weight = (rows, width), (vocabulary, width)
    made = Gradients(
        *buffers(
            "linear_cross_entropy", x.device, out,
            dx=((models, *of_x), x.dtype) if want_dx else None, dweight=((models, *of_weight), x.dtype),
            dx_parts=((models, x_parts, *of_x), torch.float32) if want_dx and x_parts > 1 else None,
            dweight_parts=((models, w_parts, *of_weight), torch.float32) if w_parts > 1 else None, q=None,
        )
    )  # fmt: skip
    tensors = x, weight, targets, lse, weights, dmean, None if dlosses is not None else total, dlosses
    numbers = ignore_index, z_loss
    constants = {"PIECES": pieces} | tile.constants | tile.launch
    for kernel, gradient, parts, grid, steps in (
        (_xent_dx, made.dx, made.dx_parts, (height, pieces * x_parts, models), x_steps),
        (_xent_dw, made.dweight, made.dweight_parts, (breadth, pieces * w_parts, models), w_steps),
    ):
        if gradient is not None:
            into = gradient if parts is None else parts
            kernel[grid](*tensors, into, rows, vocabulary, width, steps, *numbers, **constants)
            if parts is not None:
                add_partials(parts, gradient)
    return made


def is_wide(x: Tensor) -> bool:
    """Whether torch's products give the gradients, of which a note is made."""
    wide = x.shape[-1] > library_past("cross_entropy_backward") and x.dtype != torch.float16
    if wide:
        record("linear_cross_entropy_backward", "library")
    return wide


def flops(rows: int, vocabulary: int, width: int, *, pieces: int = 1) -> int:
    """Of the products of one model, backward, where the width is so many pieces."""
    return 4 * (1 + pieces) * rows * vocabulary * width


def least_bytes(rows: int, vocabulary: int, width: int, size: int) -> int:
    """That one model reads and writes at ``size`` bytes an element, backward, without weights."""
    return 2 * size * (rows + vocabulary) * width + 12 * rows + 4
