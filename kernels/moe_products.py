"""Products of matrices by expert: tiles of rows in slots, each with the weight of the expert whose slots they are.

    z[s] = x[row of s] W_in[e]^T + b_in[e],   a = act(z),   o[s] = a[s] W_out[e]^T + b_out[e]     e the expert of s
    y[m] = sum over j of gate[m, j] o[slot of (m, j)]                    in the order of the choices

swiglu: W_in is (2 F, D), gate rows first. A tile of slots belongs to one expert: it finds it among the E first slots,
and does nothing where that expert has fewer rows. Rows are gathered as they are read; no sorted copy of x is made.

With R choices kept, FLOPs of the products: 4 R D F, 6 R D F gated. Bytes at s an element, G = 2 where gated, else 1:
s D (2 M + 2 R) of x, y and o, which is written and read, s (G + 1) E F D of weights, and s (G + 2) R F of z and a.
Rows that several experts read come from cache again. Arithmetic intensity at two bytes where few rows meet an expert,
whose weights then decide: R/E FLOPs a byte.
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.activation import activate, activation_gradient
from isoflop.kernels.products import add_product


@triton.jit
def tile_of_expert(
    START, SIZE, N, E, EXPERTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """(model, expert, first slot, first column, end of the expert's slots) of a program; START, SIZE (K, E).

    The grid is (S / ROWS cdiv(N, COLUMNS), K).
    """
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(N, COLUMNS)
    first, column = tl.program_id(0) // tiles * ROWS, tl.program_id(0) % tiles * COLUMNS
    experts = tl.arange(0, EXPERTS)
    START += model * E
    SIZE += model * E
    starts = tl.load(START + experts, mask=experts < E, other=2147483647)
    expert = tl.sum((starts <= first).to(tl.int32), 0) - 1  # the last to start there or before: others are empty
    return model, expert.to(tl.int64), first, column, tl.load(START + expert) + tl.load(SIZE + expert)


@triton.jit
def _times_weight(
    x, W, live, column, N, D, BACK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr
):  # fmt: skip
    """Rows at the pointers ``x`` (ROWS, 1), D long, times COLUMNS rows of W (N, D) from ``column``; BACK: W (D, N)."""
    columns, depth = column + tl.arange(0, COLUMNS)[None, :], tl.arange(0, DEPTH)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for d in range(0, D, DEPTH):
        deep = d + depth
        left = tl.load(x + deep[None, :], mask=live & (deep < D)[None, :], other=0.0)
        at = deep[:, None].to(tl.int64) * N + columns if BACK else columns.to(tl.int64) * D + deep[:, None]
        w = tl.load(W + at, mask=(columns < N) & (deep < D)[:, None], other=0.0)
        total = add_product(left, w, total)
    return total


@triton.jit
def _plus_bias(total, B, inside):
    """``total`` (ROWS, COLUMNS) and the bias at B (1, COLUMNS), where ``inside``."""
    return total + tl.load(B, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _moe_hidden(
    X, W, B, ROUTES, START, SIZE, Z, A, M, D, F, E, S, TOP: tl.constexpr, KIND: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (S / ROWS cdiv(F, COLUMNS), K). X (K, M, D), W (K, E, F or 2F, D) to Z (K, S, F or 2F) and A (K, S, F).

    B (K, E, F or 2F) is added to Z, or None.
    """
    model, expert, first, column, end = tile_of_expert(START, SIZE, F, E, EXPERTS, ROWS, COLUMNS)
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    if first < end:
        slots, columns = first + tl.arange(0, ROWS)[:, None], column + tl.arange(0, COLUMNS)[None, :]
        live = slots < end
        row = tl.load(ROUTES + model * S + slots, mask=live, other=0) // TOP
        x = X + (model * M + row) * D
        matrix = (model * E + expert) * gated
        z = _times_weight(x, W + matrix * F * D, live, column, F, D, False, ROWS, COLUMNS, DEPTH)
        if B is not None:
            z = _plus_bias(z, B + matrix * F + columns, columns < F)
        value = z
        out, inside = (model * S + slots) * gated * F + columns, live & (columns < F)
        if KIND == "swiglu":
            value = _times_weight(x, W + (matrix + 1) * F * D, live, column, F, D, False, ROWS, COLUMNS, DEPTH)
            if B is not None:
                value = _plus_bias(value, B + (matrix + 1) * F + columns, columns < F)
            tl.store(Z + out + F, value.to(Z.dtype.element_ty), mask=inside)
        tl.store(Z + out, z.to(Z.dtype.element_ty), mask=inside)
        a = activate(z, value, KIND)
        tl.store(A + (model * S + slots) * F + columns, a.to(A.dtype.element_ty), mask=inside)


@triton.jit
def _moe_rows(
    A, W, B, START, SIZE, OUT, N, D, E, S, BACK: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (S / ROWS cdiv(N, COLUMNS), K): A (K, S, D) times W (K, E, N, D), where BACK (K, E, D, N), to OUT.

    B (K, E, N) is added, or None.
    """
    model, expert, first, column, end = tile_of_expert(START, SIZE, N, E, EXPERTS, ROWS, COLUMNS)
    if first < end:
        slots, columns = first + tl.arange(0, ROWS)[:, None], column + tl.arange(0, COLUMNS)[None, :]
        live, W = slots < end, W + (model * E + expert) * N * D
        total = _times_weight(A + (model * S + slots) * D, W, live, column, N, D, BACK, ROWS, COLUMNS, DEPTH)
        if B is not None:
            total = _plus_bias(total, B + (model * E + expert) * N + columns, columns < N)
        at = (model * S + slots) * N + columns
        tl.store(OUT + at, total.to(OUT.dtype.element_ty), mask=live & (columns < N))


@triton.jit
def _moe_hidden_bwd(
    DY, W, ROUTES, GATES, START, SIZE, Z, DZ, M, D, F, E, S, TOP: tl.constexpr, KIND: tl.constexpr,
    EXPERTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid as ``_moe_hidden``. DY (K, M, D), W (K, E, D, F), GATES (K, M, TOP), Z to DZ (K, S, F or 2F)."""
    model, expert, first, column, end = tile_of_expert(START, SIZE, F, E, EXPERTS, ROWS, COLUMNS)
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    if first < end:
        slots, columns = first + tl.arange(0, ROWS)[:, None], column + tl.arange(0, COLUMNS)[None, :]
        live = slots < end
        route = tl.load(ROUTES + model * S + slots, mask=live, other=0)
        dy, W = DY + (model * M + route // TOP) * D, W + (model * E + expert) * D * F
        da = _times_weight(dy, W, live, column, F, D, True, ROWS, COLUMNS, DEPTH)
        da *= tl.load(GATES + model * M * TOP + route, mask=live, other=0.0)
        at, inside = (model * S + slots) * gated * F + columns, live & (columns < F)
        z = tl.load(Z + at, mask=inside, other=0.0).to(tl.float32)
        value = z
        if KIND == "swiglu":
            value = tl.load(Z + at + F, mask=inside, other=0.0).to(tl.float32)
        dz, dvalue = activation_gradient(z, value, da, KIND)
        tl.store(DZ + at, dz.to(DZ.dtype.element_ty), mask=inside)
        if KIND == "swiglu":
            tl.store(DZ + at + F, dvalue.to(DZ.dtype.element_ty), mask=inside)


@triton.jit
def _moe_weight(
    L, R, ROUTES, GATES, START, SIZE, DW, DB, M, N, D, E, S, TOP: tl.constexpr, LEFT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(N, ROWS) cdiv(D, COLUMNS), E, K): sums over an expert's slots of L (N) by R (D) to DW (K, E, N, D).

    LEFT: L (K, M, N) is gathered and multiplied by its gate, R is (K, S, D); else R (K, M, D) is gathered. DB (K, E, N)
    has the sums of L, or is None.
    """
    model, expert, tiles = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.cdiv(D, COLUMNS)
    row, column = tl.program_id(0) // tiles * ROWS, tl.program_id(0) % tiles * COLUMNS
    rows, columns = row + tl.arange(0, ROWS)[None, :], column + tl.arange(0, COLUMNS)[None, :]
    start = tl.load(START + model * E + expert)
    end = start + tl.load(SIZE + model * E + expert)
    total, bias = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((1, ROWS), tl.float32)
    for s in range(start, end, DEPTH):
        slots = s + tl.arange(0, DEPTH)[:, None]
        live = slots < end
        route = tl.load(ROUTES + model * S + slots, mask=live, other=0)
        taken, held = model * M + route // TOP, model * S + slots
        left = tl.load(L + (taken if LEFT else held) * N + rows, mask=live & (rows < N), other=0.0)
        right = tl.load(R + (held if LEFT else taken) * D + columns, mask=live & (columns < D), other=0.0)
        if LEFT:
            gate = tl.load(GATES + model * M * TOP + route, mask=live, other=0.0)
            left = (left.to(tl.float32) * gate).to(L.dtype.element_ty)
        if DB is not None:
            bias += tl.sum(left.to(tl.float32), 0)[None, :]
        total = add_product(tl.trans(left), right, total)
    at = ((model * E + expert) * N + tl.trans(rows)) * D + columns
    tl.store(DW + at, total.to(DW.dtype.element_ty), mask=(tl.trans(rows) < N) & (columns < D))
    if DB is not None:
        if column == 0:
            tl.store(DB + (model * E + expert) * N + rows, bias.to(DB.dtype.element_ty), mask=rows < N)


@triton.jit
def _moe_combine(
    BY_SLOT, GATES, SLOTS, ONTO, ALSO, Y, M, D, S, TOP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Grid (cdiv(M, ROWS) cdiv(D, COLUMNS), K): BY_SLOT (K, S, D) summed over choices, times GATES, to Y (K, M, D).

    ONTO and ALSO (K, M, D) are added. GATES, ONTO and ALSO may be None.
    """
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(D, COLUMNS)
    rows = (tl.program_id(0) // tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    columns = tl.program_id(0) % tiles * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    live, inside = rows < M, columns < D
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for j in tl.static_range(TOP):
        at = (model * M + rows) * TOP + j
        slot = tl.load(SLOTS + at, mask=live, other=-1)
        o = tl.load(BY_SLOT + (model * S + slot) * D + columns, mask=(slot >= 0) & inside, other=0.0).to(tl.float32)
        total += o if GATES is None else o * tl.load(GATES + at, mask=live, other=0.0)
    at = (model * M + rows) * D + columns
    if ONTO is not None:
        total += tl.load(ONTO + at, mask=live & inside, other=0.0).to(tl.float32)
    if ALSO is not None:
        total += tl.load(ALSO + at, mask=live & inside, other=0.0).to(tl.float32)
    tl.store(Y + at, total.to(Y.dtype.element_ty), mask=live & inside)
