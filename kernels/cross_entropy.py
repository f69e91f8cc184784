"""Cross-entropy of the logits x W^T of K models, which are never in memory: losses, log-sum-exp, argmax hits.

    z_ij = x_i . w_j,   lse_i = log(sum over j of exp(z_ij))
    loss_i = weight_i (lse_i - z_it + zeta lse_i^2),   mean = sum(loss) / sum(weight) over the positions not ignored

M rows of width D against a vocabulary of V, s bytes an element. FLOPs of the products: 2 M V D; of exponentials and
sums about 6 M V. Minimum bytes: s (M D + V D) + 8 M read, 8 M + 8 written; unfused, the logits add 12 M V and more.
Arithmetic intensity at two bytes and V >> M: M FLOPs a byte, above the ridge of every GPU once a batch has 300 rows.

A program holds a tile of rows and streams over the vocabulary, keeping of each row the largest logit, the sum of
exponentials below it, the logit of its label and where the largest is (the lowest such, as ``torch.argmax``). Few rows
share the vocabulary out among several programs; a second kernel joins their parts in a fixed order, a third adds up the
losses. No atomics: the same bits every time, whatever K.

Where the vocabulary is at most ``ONE_PASS`` and the width one piece, :func:`forward` gives the gradient of x from the
same pass, 2 M V D FLOPs more instead of 4: like the values of attention, rows of W are averaged as they stream by.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.cross_entropy_join import Loss, add_weights, join
from isoflop.kernels.launch import admit
from isoflop.kernels.logits import read_labels, read_tile, tile_of_logits
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import IGNORED, check, refuse_labels

ONE_PASS = 8192  # entries of a vocabulary that one program streams over, keeping the gradient of its rows
PROGRAMS = 128  # of a model: fewer tiles of rows than that share out the vocabulary


@triton.jit
def _xent_fwd(
    X, W, T, WEIGHTS, TOTAL, TOP, SUM, OWN, BEST, DX, M, V, D, steps, ignored, zeta,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), S, K), ``steps`` tiles of vocabulary a program.

    X (K, M, D), W (K, V, D), T (K, M); TOP, SUM, OWN float32 and BEST int32 or None (K, S, M). DX (K, M, D) or None; it
    asks for S = PIECES = 1 and for TOTAL (K,), the sum of the weights.
    """
    model, row = tl.program_id(2).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    rows, cols = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    X += (model * M + row) * D
    x = read_tile(X, rows, M - row, 0, D, DEPTH)
    label, weight = read_labels(T, WEIGHTS, model * M + row + rows, row + rows < M, V, ignored)
    top = tl.full((ROWS,), float("-inf"), tl.float32)
    total, own, best = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.int32)
    average = tl.zeros((ROWS, DEPTH), tl.float32)
    start = tl.program_id(1) * steps * COLUMNS
    for v in range(start, tl.minimum(start + steps * COLUMNS, V), COLUMNS):
        tile = W + (model * V + v) * D
        w = read_tile(tile, cols, V - v, 0, D, DEPTH)
        z = tile_of_logits(x, w, X, tile, rows, cols, M - row, V - v, 0, D, DEPTH, PIECES)
        if BEST is not None:
            largest, where = tl.max(z, 1, return_indices=True)
            best = tl.where(largest > top, v + where, best)
        else:
            largest = tl.max(z, 1)
        higher = tl.maximum(top, largest)
        share, shrink = tl.exp(z - higher[:, None]), tl.exp(top - higher)
        total = total * shrink + tl.sum(share, 1)
        own += tl.sum(tl.where(label[:, None] == (v + cols)[None, :], z, 0.0), 1)
        if DX is not None:
            average = add_product(share.to(w.dtype), w, average * shrink[:, None])
        top = higher
    at = (model * tl.num_programs(1) + tl.program_id(1)) * M + row + rows
    tl.store(TOP + at, top, mask=row + rows < M)
    tl.store(SUM + at, total, mask=row + rows < M)
    tl.store(OWN + at, own, mask=row + rows < M)
    if BEST is not None:
        tl.store(BEST + at, best, mask=row + rows < M)
    if DX is not None:
        lse = top + tl.log(total)
        depth = tl.arange(0, DEPTH)[None, :]
        named = (label >= 0)[:, None] & (depth < D)
        target = tl.load(W + (model * V + label)[:, None] * D + depth, mask=named, other=0.0).to(tl.float32)
        dx = ((1.0 + 2.0 * zeta * lse) / total)[:, None] * average - target
        dx *= (weight / tl.load(TOTAL + model))[:, None]
        live = (row + rows < M)[:, None] & (depth < D)
        tl.store(DX + (model * M + row) * D + rows[:, None] * D + depth, dx.to(DX.dtype.element_ty), mask=live)


def forward(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, *, z_loss: float = 0.0,
    ignore_index: int = IGNORED, hits: bool = False, gradient: bool = False, check_labels: bool = False,
    out: Loss | None = None,
) -> Loss:  # fmt: skip
    """Losses in nats of ``targets`` (K, M) int64 by the logits of x (K, M, D) and weight (K, V, D).

    Args:
        weights: (K, M) float32, of the positions in the mean; 1 where None.
        z_loss: zeta, the weight of the square of the log-sum-exp in the loss of a position.
        ignore_index: the label of positions that have no loss and no part in the mean.
        hits, gradient: whether to find argmax hits; whether to give the gradient of the mean by x from the same pass.
        check_labels: read the labels on the host first, which waits for the device, to refuse those out of range;
            else the loss of such a position is NaN, and so is the mean.
        out: what an earlier call of these sizes gave, to be written again; nothing is allocated.

    Raises KernelError, before any launch, for tensors that ``signatures.check`` refuses or that are on no GPU, for a
    gradient that one pass cannot give (:func:`gives_gradient`), and for ``out`` of other sizes.
    """
    sizes = check("linear_cross_entropy", x=x, weight=weight, targets=targets, weights=weights)
    admit("linear_cross_entropy", "x", x)
    if gradient:
        _refuse_two_passes(x, weight)
    if check_labels:
        refuse_labels(targets, sizes["V"], ignore_index)
    models, rows, width, vocabulary = (sizes[axis] for axis in "KMDV")
    tile = configuration("cross_entropy", width=width, dtype=x.dtype, chip=chip_of(x.device))
    height, breadth = triton.cdiv(rows, tile["rows"]), triton.cdiv(vocabulary, tile["columns"])
    steps, splits = (breadth, 1) if gradient else share_out(breadth, height)
    model, row, part = (models,), (models, rows), (models, splits, rows)
    made = Loss(
        *buffers(
            "linear_cross_entropy", x.device, out,
            mean=(model, torch.float32), total=(model, torch.float32),
            losses=(row, torch.float32), lse=(row, torch.float32), hits=(row, torch.bool) if hits else None,
            dx=((*row, width), x.dtype) if gradient else None,
            parts=((3, *part), torch.float32), best=(part, torch.int32) if hits else None,
        )
    )  # fmt: skip
    if gradient:
        add_weights(targets, weights, made.total, vocabulary, ignore_index)
    _xent_fwd[(height, splits, models)](
        x, weight, targets, weights, made.total, *made.parts.unbind(), made.best, made.dx,
        rows, vocabulary, width, steps, ignore_index, z_loss,
        PIECES=triton.cdiv(width, tile["depth"]), **tile.constants, **tile.launch,
    )  # fmt: skip
    join(targets, weights, made, vocabulary, ignore_index, z_loss)
    return made


def share_out(steps: int, tiles: int) -> tuple[int, int]:
    """Steps of each program, and programs, that share the ``steps`` of one of ``tiles`` tiles; K has no part in it."""
    each = triton.cdiv(steps, max(1, PROGRAMS // tiles))
    return each, triton.cdiv(steps, each)


def gives_gradient(x: Tensor, weight: Tensor) -> bool:
    """Whether ``forward(..., gradient=True)`` takes these: a vocabulary of at most ONE_PASS, a width of one piece."""
    tile = configuration("cross_entropy", width=x.shape[-1], dtype=x.dtype, chip=chip_of(x.device))
    return weight.shape[1] <= ONE_PASS and x.shape[-1] <= tile["depth"]


def _refuse_two_passes(x: Tensor, weight: Tensor) -> None:
    if not gives_gradient(x, weight):
        size = f"a vocabulary of {weight.shape[1]} and width {x.shape[-1]}"
        raise KernelError(
            f"linear_cross_entropy: no gradient from one pass for {size}",
            hint="isoflop.kernels.cross_entropy_backward.backward gives it from another",
        )


def flops(rows: int, vocabulary: int, width: int, *, gradient: bool = False) -> int:
    """Of the products of one model, forward, with the gradient of x in the same pass or without."""
    return (4 if gradient else 2) * rows * vocabulary * width


def least_bytes(rows: int, vocabulary: int, width: int, size: int, *, gradient: bool = False) -> int:
    """That one model reads and writes at ``size`` bytes an element, forward, without weights and hits."""
    return size * ((1 + gradient) * rows + vocabulary) * width + 16 * rows + 8
