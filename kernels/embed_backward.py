"""Gradients of the tables of an embedding in K models, without atomics.

    dtoken_table[v] = sum of dy[b, t] over the b, t of token v,   dposition_table[t] = sum over b of dy[b, t]

M = B T rows of D, s bytes an element. FLOPs: 2 M D, half of that without positions. Minimum bytes, where every token of
V occurs and every position: s (M + V + T) D + 16 M + 16 (V + 1): dy, the tokens sorted, their order, where each begins,
and the tables. Arithmetic intensity of long batches at two bytes: one FLOP a byte: bandwidth decides.

Rows of equal tokens are brought together by a stable sort of the tokens (``torch.sort``: a radix sort on a GPU, which
neither waits for the host nor depends on timing, so that a graph can hold it); then one program a token of the
vocabulary adds up its rows in their order, the same bits every time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.signatures import check

BLOCK = 256  # tokens whose rows a program looks up


@triton.jit
def _embed_starts(TOKENS, STARTS, M, V, halvings, BLOCK: tl.constexpr):
    """Grid (cdiv(V + 1, BLOCK), K): where each of V + 1 tokens would stand in TOKENS (K, M), sorted; to STARTS."""
    model, token = tl.program_id(1).to(tl.int64), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    low, high = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32) + M
    for _ in range(halvings):
        middle = (low + high) // 2
        below = tl.load(TOKENS + model * M + middle, mask=low < high, other=0) < token
        low, high = tl.where((low < high) & below, middle + 1, low), tl.where(below, high, middle)
    tl.store(STARTS + model * (V + 1) + token, low.to(tl.int64), mask=token <= V)


@triton.jit
def _embed_bwd(DY, ORDER, STARTS, ONTO, DTABLE, M, V, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Grid (V, cdiv(D, COLUMNS), K): one token's rows of DY (K, M, D), plus ONTO or None, to DTABLE, both (K, V, D).

    ORDER (K, M) lists rows by token, STARTS (K, V + 1) where each token begins in it.
    """
    model, token = tl.program_id(2).to(tl.int64), tl.program_id(0)
    cols = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    STARTS += model * (V + 1) + token
    end = tl.load(STARTS + 1)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(tl.load(STARTS), end, ROWS):
        place = start + tl.arange(0, ROWS)
        row = tl.load(ORDER + model * M + place, mask=place < end, other=0)
        live = (place < end)[:, None] & (cols < D)
        total += tl.load(DY + (model * M + row)[:, None] * D + cols, mask=live, other=0.0).to(tl.float32)
    gradient, at = tl.sum(total, 0)[None, :], (model * V + token) * D + cols
    if ONTO is not None:
        gradient += tl.load(ONTO + at, mask=cols < D, other=0.0).to(tl.float32)
    tl.store(DTABLE + at, gradient.to(DTABLE.dtype.element_ty), mask=cols < D)


@triton.jit
def _embed_bwd_positions(DY, DPOSITIONS, B, T, P, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Grid (cdiv(P, ROWS), cdiv(D, COLUMNS), K): sums over B of DY (K, B, T, D) to DPOSITIONS (K, P, D), then 0."""
    model, row = tl.program_id(2).to(tl.int64), tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    cols = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for b in range(B):
        at = ((model * B + b) * T + row) * D + cols
        total += tl.load(DY + at, mask=(row < T) & (cols < D), other=0.0).to(tl.float32)
    at = (model * P + row) * D + cols
    tl.store(DPOSITIONS + at, total.to(DPOSITIONS.dtype.element_ty), mask=(row < P) & (cols < D))


class Gradients(NamedTuple):
    """Gradients of the token table (K, V, D) and the position table (K, P, D), and the sorted tokens they came by.

    ``tokens`` and ``order`` (K, B T), ``starts`` (K, V + 1) int64: token v of model k stands at rows
    ``order[k, starts[k, v] : starts[k, v + 1]]``.
    """

    dtoken_table: Tensor
    dposition_table: Tensor | None
    tokens: Tensor
    order: Tensor
    starts: Tensor


def backward(
    dy: Tensor, tokens: Tensor, *, n_vocab: int, n_positions: int | None = None, onto: Tensor | None = None,
    out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients of tables of ``n_vocab`` and ``n_positions`` rows (none where None) from dy (K, B, T, D), of its dtype.

    Args:
        onto: (K, n_vocab, D), added to the gradient of the token table before it is rounded: a tied unembedding's.
        out: what an earlier call of these sizes gave, to be written again.

    Tokens out of range count nowhere. Raises KernelError as :func:`embed.forward` does.
    """
    sizes = check("embed_backward", dy=dy, tokens=tokens, onto=onto)
    admit("embed_backward", "dy", dy)
    models, batch, seq, width = (sizes[axis] for axis in "KBTD")
    if sizes.get("V", n_vocab) != n_vocab:
        raise KernelError(f"embed: onto has {sizes['V']} rows, n_vocab is {n_vocab}")
    if seq > (n_positions or seq):
        raise KernelError(f"embed: {seq} tokens in a row, and n_positions is {n_positions}")
    rows = batch * seq
    made = Gradients(
        *buffers(
            "embed", dy.device, out, dtoken_table=((models, n_vocab, width), dy.dtype),
            dposition_table=None if n_positions is None else ((models, n_positions, width), dy.dtype),
            tokens=((models, rows), torch.int64), order=((models, rows), torch.int64),
            starts=((models, n_vocab + 1), torch.int64),
        )
    )  # fmt: skip
    torch.sort(tokens.view(models, rows), dim=1, stable=True, out=(made.tokens, made.order))
    _embed_starts[(triton.cdiv(n_vocab + 1, BLOCK), models)](
        made.tokens, made.starts, rows, n_vocab, rows.bit_length(), BLOCK=BLOCK, num_warps=4
    )
    tile = configuration("embed", width=width, dtype=dy.dtype, chip=chip_of(dy.device))
    chosen, pieces = tile.constants | tile.launch, triton.cdiv(width, tile["columns"])
    _embed_bwd[(n_vocab, pieces, models)](
        dy, made.order, made.starts, onto, made.dtoken_table, rows, n_vocab, width, **chosen
    )
    if n_positions is not None:
        _embed_bwd_positions[(triton.cdiv(n_positions, tile["rows"]), pieces, models)](
            dy, made.dposition_table, batch, seq, n_positions, width, **chosen
        )
    return made
