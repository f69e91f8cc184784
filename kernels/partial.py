"""Partial sums of K models added up in a fixed order: the same bits every time, where atomics would not give them.

    out = sum over p of partial[p]

FLOPs of P partial sums of N: P N. Minimum bytes, from float32: 4 P N read, s N written at s bytes an element of
``out``: a quarter of a FLOP a byte.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.configurations import chip_of, configuration


@triton.jit
def _add_partials(PARTIAL, OUT, P, N, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Grid (cdiv(N, COLUMNS), K). PARTIAL (K, P, N) to OUT (K, N): sums over P."""
    model = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    rows = tl.arange(0, ROWS)[:, None]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for p in range(0, P, ROWS):
        at = model * P * N + (p + rows).to(tl.int64) * N + columns
        total += tl.load(PARTIAL + at, mask=(p + rows < P) & (columns < N), other=0.0).to(tl.float32)
    tl.store(OUT + model * N + columns, tl.sum(total, 0)[None, :].to(OUT.dtype.element_ty), mask=columns < N)


def add_partials(partial: Tensor, out: Tensor) -> Tensor:
    """``out`` (K, ...) filled with the sums of ``partial`` (K, P, ...) over P, added up in float32."""
    models, count = partial.shape[:2]
    width = partial[0, 0].numel()
    chosen = configuration("partial", width=width, dtype=partial.dtype, chip=chip_of(partial.device))
    grid = (triton.cdiv(width, chosen["columns"]), models)
    _add_partials[grid](partial, out, count, width, **chosen.constants, **chosen.launch)
    return out
