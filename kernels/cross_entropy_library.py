"""Gradients of cross-entropy of wide rows of K models: logits by a kernel, the rest by torch's own products.

    q = g (exp(z - lse) (1 + 2 zeta lse) - [j = t]),   z = x W_c^T,   dW_c = q^T x,   dx = sum over parts of q W_c

g and q are those of ``cross_entropy_backward``, with the mean in g; a part c of the vocabulary at a time. FLOPs of the
products: 6 M V D, 2 M V D of them to have the logits again, by the tiles of the forward pass and so to the same bits:
errors of lse and z that are one and the same fall out of the difference. Bytes past those of the kernels: q is written
once and read twice, 3 s M V at s bytes an element, which arithmetic outweighs past ``library_past`` of the table of
``cross_entropy_backward``. Of q, of the dtype of x, at most ``ELEMENTS`` a model are in memory at once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.cross_entropy_join import Gradients
from isoflop.kernels.logits import gradient_of_logits, read_tile, scale_of_mean, tile_of_logits, weights_of_rows

ELEMENTS = 2**26
"""Of q of a model in memory at once: 128 MB in two bytes."""

_ALIGNED = 64  # columns that parts are a multiple of, so that rows of q begin where wide loads do


@triton.jit
def _xent_gradient(
    X, W, T, LSE, WEIGHTS, DMEAN, TOTAL, DLOSS, Q, M, V, D, first, end, stride, ignored, zeta,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), cdiv(end - first, COLUMNS), K): Q (K, M, ``stride``) of entries ``first`` to ``end``."""
    model, row = tl.program_id(2).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    v = first + tl.program_id(1) * COLUMNS
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    live, at = row + rows < M, model * M + row + rows
    X += (model * M + row) * D
    W += (model * V + v) * D
    x, w = read_tile(X, rows, M - row, 0, D, DEPTH), read_tile(W, cols, V - v, 0, D, DEPTH)
    z = tile_of_logits(x, w, X, W, rows, cols, M - row, V - v, 0, D, DEPTH, PIECES)
    label, weight = weights_of_rows(T, WEIGHTS, DLOSS, at, live, V, ignored)
    weight *= scale_of_mean(DMEAN, TOTAL, model)
    lse = tl.load(LSE + at, mask=live, other=0.0)
    q = weight[:, None] * gradient_of_logits(z, lse, label, v + cols, zeta)
    places = Q + at[:, None] * stride + (v - first + cols)[None, :]
    tl.store(places, q.to(Q.dtype.element_ty), mask=live[:, None] & (v + cols < end)[None, :])


def part(rows: int, vocabulary: int) -> int:
    """Entries of the vocabulary of one part, of models of so many rows."""
    most = max(1, ELEMENTS // rows // _ALIGNED) * _ALIGNED
    return int(min(most, triton.cdiv(vocabulary, _ALIGNED) * _ALIGNED))


def backward(
    x: Tensor, weight: Tensor, targets: Tensor, lse: Tensor, weights: Tensor | None, dmean: Tensor | None,
    total: Tensor | None, dlosses: Tensor | None, ignore_index: int, z_loss: float, want_dx: bool,
    out: Gradients | None,
) -> Gradients:  # fmt: skip
    """As ``cross_entropy_backward.backward``, of tensors that it has looked at."""
    (models, rows, width), vocabulary = x.shape, weight.shape[1]
    step = part(rows, vocabulary)
    made = Gradients(
        *buffers(
            "linear_cross_entropy", x.device, out, dx=(tuple(x.shape), x.dtype) if want_dx else None,
            dweight=(tuple(weight.shape), x.dtype),
            dx_parts=((models, 1, rows, width), torch.float32) if want_dx and step < vocabulary else None,
            dweight_parts=None, q=((models, rows, step), x.dtype),
        )
    )  # fmt: skip
    assert made.q is not None
    tile = configuration("cross_entropy", width=width, dtype=x.dtype, chip=chip_of(x.device))
    form = {"PIECES": triton.cdiv(width, tile["depth"])} | tile.constants | tile.launch
    for first in range(0, vocabulary, step):
        end = min(first + step, vocabulary)
        _xent_gradient[(triton.cdiv(rows, tile["rows"]), triton.cdiv(end - first, tile["columns"]), models)](
            x, weight, targets, lse, weights, dmean, total, dlosses, made.q, rows, vocabulary, width, first, end, step,
            ignore_index, z_loss, **form,
        )  # fmt: skip
        q, own = made.q[:, :, : end - first], weight[:, first:end]
        torch.bmm(q.mT, x, out=made.dweight[:, first:end])
        if made.dx is not None:
            torch.bmm(q, own, out=made.dx)
            if made.dx_parts is not None:
                sums = made.dx_parts[:, 0]
                sums.copy_(made.dx) if first == 0 else sums.add_(made.dx)
    if made.dx is not None and made.dx_parts is not None:
        made.dx.copy_(made.dx_parts[:, 0])
    return made
