"""Embedding of tokens, plus that of their positions, in K models; backward is ``embed_backward``.

    y[b, t] = token_table[tokens[b, t]] + position_table[t]

M = B T rows of D, s bytes an element. FLOPs: M D, none without positions. Minimum bytes, where every token of V occurs
and every position: s (M + V + T) D + 8 M. Arithmetic intensity of long batches at two bytes: half a FLOP a byte:
bandwidth decides.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.signatures import check

FLOPS = (1, 2)  # an element of y, with positions: forward, backward


@triton.jit
def _embed_fwd(
    TOKENS, TABLE, POSITIONS, Y, M, T, V, P, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Grid (cdiv(M, ROWS), cdiv(D, COLUMNS), K): TOKENS (K, M) to Y (K, M, D). POSITIONS (K, P, D) or None."""
    model, row = tl.program_id(2).to(tl.int64), tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    live = (row < M)[:, None] & (cols < D)
    token = tl.load(TOKENS + model * M + row, mask=row < M, other=0)
    known = (token >= 0) & (token < V)
    at = (model * V + token)[:, None] * D + cols
    y = tl.load(TABLE + at, mask=live & known[:, None], other=0.0).to(tl.float32)
    if POSITIONS is not None:
        at = (model * P + row % T)[:, None] * D + cols
        y += tl.load(POSITIONS + at, mask=live, other=0.0).to(tl.float32)
    y = tl.where(known[:, None], y, float("nan"))
    tl.store(Y + (model * M + row)[:, None] * D + cols, y.to(Y.dtype.element_ty), mask=live)


def forward(
    tokens: Tensor, token_table: Tensor, position_table: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Rows of ``token_table`` (K, V, D), plus ``position_table`` (K, P, D), for tokens (K, B, T) int64: (K, B, T, D).

    The row of a token out of range is NaN. ``out`` is written where given. Raises KernelError, before any launch, for
    tensors that ``signatures.check`` refuses or that are on no GPU, and for more tokens in a row than positions.
    """
    sizes = check("embed", tokens=tokens, token_table=token_table, position_table=position_table)
    admit("embed", "tokens", tokens)
    models, batch, seq, vocabulary, width = (sizes[axis] for axis in "KBTVD")
    positions = sizes.get("P", seq)
    if seq > positions:
        raise KernelError(f"embed: {seq} tokens in a row, and {positions} positions in position_table")
    size = (models, batch, seq, width), token_table.dtype
    y: Tensor = buffers("embed", tokens.device, None if out is None else [out], y=size)[0]
    tile = configuration("embed", width=width, dtype=token_table.dtype, chip=chip_of(tokens.device))
    rows = batch * seq
    _embed_fwd[(triton.cdiv(rows, tile["rows"]), triton.cdiv(width, tile["columns"]), models)](
        tokens, token_table, position_table, y, rows, seq, vocabulary, positions, width, **tile.constants, **tile.launch
    )
    return y


def least_bytes(batch: int, seq: int, vocabulary: int, width: int, size: int) -> tuple[int, int]:
    """That one model reads and writes at ``size`` bytes an element with positions, forward and backward.

    Every token of the vocabulary occurs; the sort of the tokens is torch's and not counted.
    """
    rows = batch * seq
    data = size * width * (rows + vocabulary + seq)
    return data + 8 * rows, data + 16 * rows + 16 * (vocabulary + 1)
