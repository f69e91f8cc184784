"""Norm, projection to queries, keys and values, and rotary positions of K models, in one kernel: forward.

    n = norm(x) gain + shift                (``isoflop.kernels.norm``), rounded to the dtype of x
    p = n W^T + b                           W (K, (H + 2 G) C, D): the rows of H queries, G keys, G values
    q, k, v = p by heads; pair (i, i + C/2) of q and k at position t turns by t base^(-2i/C)

FLOPs of the products of M = B T rows, with O = (H + 2 G) C: 2 M D O; the norm takes 7 M D besides (layer; 5 rms), the
turn 3 M (H + G) C. Minimum bytes at s bytes an element: s (M D + O D + M O) and the vectors: gain, shift, bias, four
bytes a row for each statistic, 4 T C of angles. Arithmetic intensity at G = H, M >> D: 3 D/(2 s) FLOPs a byte, 0.75 D
in bfloat16; norm, product and turn on their own would move s M (4 D + 4 O) bytes.

A program has a tile of rows and of pairs of columns, so that both halves of a pair meet in it. It reads its rows twice,
or three times, to normalise them: the second time from a cache. Past ``library_past`` of the table torch's products run
(``qkv_library``), and ``last_dispatch`` tells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import qkv_library
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration, library_past
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import admit
from isoflop.kernels.products import add_product
from isoflop.kernels.qkv_tiles import (
    angles,
    half,
    head_column,
    head_row,
    left_columns,
    normed,
    part_of,
    tiles_of,
)
from isoflop.kernels.rotary import turns
from isoflop.kernels.row_norm import read
from isoflop.kernels.signatures import check, check_norm_kind, head_width


@triton.jit
def _qkv_fwd(
    X, GAIN, SHIFT, W, B, COS, SIN, Q, K, V, MEAN, RSTD, M, T, D, heads, groups, tiles, eps,
    LAYER: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr,
    ROWS: tl.constexpr, PAIRS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS) ``tiles``, K). X (K, B, T, D) to Q, K, V (K, B, heads, T, C); MEAN, RSTD (K, M) float32.

    W (K, O, D), GAIN (K, D), SHIFT (K, D), B (K, O), COS, SIN (T, C/2) float32; SHIFT, B, MEAN, the angles may be None.
    """
    model, row = tl.program_id(1).to(tl.int64), (tl.program_id(0) // tiles).to(tl.int64) * ROWS
    rows, depth = tl.arange(0, ROWS)[:, None], tl.arange(0, DEPTH)
    live, along = row + rows < M, depth[None, :]
    base, at = (model * M + row) * D, rows * D + along
    mean = tl.zeros((ROWS, 1), tl.float32)
    if LAYER:
        for d in range(0, D, DEPTH):
            mean += tl.sum(read(X, base + at + d, live & (d + along < D)), 1)[:, None]
        mean /= D
    square = tl.zeros((ROWS, 1), tl.float32)
    for d in range(0, D, DEPTH):
        apart = tl.where(d + along < D, read(X, base + at + d, live & (d + along < D)) - mean, 0.0)
        square += tl.sum(apart * apart, 1)[:, None]
    rstd = 1.0 / tl.sqrt_rn(square / D + eps)
    if tl.program_id(0) % tiles == 0:
        tl.store(RSTD + model * M + row + rows, rstd, mask=live)
        if LAYER:
            tl.store(MEAN + model * M + row + rows, mean, mask=live)
    OUT, tile, width, first, turns = part_of(tl.program_id(0) % tiles, Q, K, V, heads, groups, C, PAIRS)
    left = left_columns(tile, HALF, PAIRS)[None, :]
    right, outputs = left + HALF, (heads + 2 * groups) * C
    W += (model * outputs + first) * D
    a, b = tl.zeros((ROWS, PAIRS), tl.float32), tl.zeros((ROWS, PAIRS), tl.float32)
    for d in range(0, D, DEPTH):
        n = normed(X, GAIN, SHIFT, base + at + d, model * D + d + along, live, d + along < D, mean, rstd)
        down = d + depth[:, None]
        w = tl.load(W + left * D + down, mask=(left < width) & (down < D), other=0.0)
        a = add_product(n, w, a)
        w = tl.load(W + right * D + down, mask=(right < width) & (down < D), other=0.0)
        b = add_product(n, w, b)
    if B is not None:
        a += read(B, model * outputs + first + left, left < width)
        b += read(B, model * outputs + first + right, right < width)
    begin, t = head_row(model, M, row + rows, T, width, C)
    if COS is not None:
        if turns:
            cos, sin = angles(COS, SIN, t, left, live & (left < width), C, HALF)
            a, b = a * cos - b * sin, a * sin + b * cos
    tl.store(OUT + begin + head_column(left, T, C), a.to(OUT.dtype.element_ty), mask=live & (left < width))
    tl.store(OUT + begin + head_column(right, T, C), b.to(OUT.dtype.element_ty), mask=live & (right < width))


class Projected(NamedTuple):
    """Queries (K, B, H, T, C), keys and values (K, B, G, T, C), and the statistics (K, B, T), float32, of the norm.

    ``normed`` (K, B T, D) and ``packed`` (K, B T, O) are room of torch's products, where they run.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mean: Tensor | None
    rstd: Tensor
    normed: Tensor | None
    packed: Tensor | None


def forward(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None = None, *,
    kind: str, n_head: int, n_kv_head: int, base: float | None = None, eps: float = 1e-5, out: Projected | None = None,
) -> Projected:  # fmt: skip
    """Queries, keys and values of x (K, B, T, D): norm with gain and shift (K, D), weight (K, (H + 2 G) C, D), bias.

    ``base`` None turns nothing. ``out`` are the results of an earlier call, filled again. Raises KernelError, before
    any launch, for tensors that ``signatures.check`` refuses or that are on no GPU, heads that do not divide the rows
    of ``weight``, an odd width of a head that is to turn, and an ``out`` of another form.
    """
    check_norm_kind(kind)
    sizes = check("norm_qkv", x=x, gain=gain, shift=shift, weight=weight, bias=bias)
    models, batch, seq, width = (sizes[axis] for axis in "KBTD")
    d_head = head_width(sizes["O"], n_head, n_kv_head, base)
    admit("norm_qkv", "x", x)
    queries, keys = ((models, batch, heads, seq, d_head) for heads in (n_head, n_kv_head))
    rows, wide = ((models, batch, seq), torch.float32), is_wide("norm_qkv", width)
    made = Projected(*buffers(
        "norm_qkv", x.device, out, q=(queries, x.dtype), k=(keys, x.dtype), v=(keys, x.dtype),
        mean=rows if kind == "layer" else None, rstd=rows,
        normed=((models, batch * seq, width), x.dtype) if wide else None,
        packed=((models, batch * seq, sizes["O"]), x.dtype) if wide else None,
    ))  # fmt: skip
    if made.normed is not None and made.packed is not None:
        qkv_library.forward(x, gain, shift, weight, bias, *made[:5], made.normed, made.packed, base, eps)
        return made
    tile = configuration("qkv", width=width, dtype=x.dtype, chip=chip_of(x.device))
    tiles = tiles_of(n_head, n_kv_head, d_head, tile["pairs"])
    _qkv_fwd[(triton.cdiv(batch * seq, tile["rows"]) * tiles, models)](
        x, gain, shift, weight, bias, *turns(seq, d_head, base, x.device), *made[:5],
        batch * seq, seq, width, n_head, n_kv_head, tiles, eps,
        LAYER=kind == "layer", C=d_head, HALF=half(d_head, base, tile["pairs"]), **tile.constants, **tile.launch,
    )  # fmt: skip
    return made


def is_wide(op: str, width: int, table: str = "qkv") -> bool:
    """Whether torch's products run ``op``, past ``library_past`` of its table, of which a note is made."""
    wide = width > library_past(table)
    if wide:
        record(op, "library")
    return wide


def flops(rows: int, width: int, outputs: int) -> tuple[int, int]:
    """Of the products of one model, forward and backward."""
    return 2 * rows * width * outputs, 4 * rows * width * outputs


def least_bytes(
    rows: int, seq: int, width: int, outputs: int, size: int, *,
    layer: bool, shift: bool, bias: bool, turned: int | None,
) -> tuple[int, int]:  # fmt: skip
    """That one model reads and writes, forward, and backward up to the gradient of the normalised rows.

    ``size`` is of an element; ``turned`` the width of heads that turn.
    """
    products = rows * width + outputs * width + rows * outputs
    statistics, table = 4 * rows * (1 + layer), 4 * seq * (turned or 0)
    forward = products + width * (1 + shift) + outputs * bias
    backward = products + width * (1 + shift) + rows * width + outputs * width + outputs * bias
    return size * forward + statistics + table, size * backward + statistics + table
