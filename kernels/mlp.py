"""The whole MLP of the rows of K models in one kernel: norm, W_in, activation, W_out, biases, residual.

    u = norm(x) gain + bias;   z = u W_in^T + b_in;   y = x + act(z) W_out^T + b_out
    swiglu: W_in is (2 F, D), gate rows first; without ``residual`` y has no x; without a norm u = x

FLOPs of M rows of D with F hidden columns: 4 M D F in products (6 M D F gated), 7 M D of norm and 2 M D of biases and
sum beside them. Minimum bytes at s bytes an element: s (2 M D + 2 D F) (3 D F gated): read x, write y, read the weights
once; the hidden (M, F) is never in memory. A program holds ``ROWS`` whole rows and goes over the hidden columns, so
many at a time (``HIDDEN``): weights are read once for each ROWS rows, from cache. Arithmetic intensity at two bytes, F
= 4 D and many rows: 4 D FLOPs a byte of x and y, the ridge of an H100 from D = 74 on.

The rows must fit the registers of a program: the table of configurations says to which width, per chip.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import activation
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import Configuration, chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.mlp_tiles import feed_forward
from isoflop.kernels.row_norm import normed, read, scaled
from isoflop.kernels.signatures import check, check_mlp

BEYOND = "isoflop.kernels.norm, .linear and .hidden, one after the other, take any width"


@triton.jit
def _mlp_fwd(
    X, G, B, W_IN, B_IN, W_OUT, B_OUT, Y, M, D, F, eps, NORM: tl.constexpr, KIND: tl.constexpr,
    RESIDUAL: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), K). X, Y (K, M, D); G, B, B_OUT (K, D); W_IN (K, F or 2F, D); B_IN; W_OUT (K, D, F)."""
    model, row = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    rows, cols = tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    inside, at = cols < D, (model * M + row) * D + rows * D + cols
    live = (row + rows < M) & inside
    x = read(X, at, live)
    n, _ = normed(x, inside, D, eps, NORM)
    u = scaled(n, G, B, model * D + cols, inside).to(X.dtype.element_ty)
    y = x if RESIDUAL else tl.zeros((ROWS, WIDTH), tl.float32)
    if B_OUT is not None:
        y += read(B_OUT, model * D + cols, inside)
    if B_IN is not None:
        B_IN += model * gated * F
    y = feed_forward(u, y, W_IN + model * gated * F * D, B_IN, W_OUT + model * F * D, D, F, KIND, WIDTH, HIDDEN)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=live)


def forward(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None = None,
    bias: Tensor | None = None, *, kind: str, norm: str = "none", eps: float = 1e-5, residual: bool = False,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The MLP of ``x`` (K, M, D): w_in (K, F, D), (K, 2F, D) where gated, w_out (K, D, F), gain and bias (K, D).

    ``kind`` is one of ``activation.KINDS``, ``norm`` of ``signatures.ROW_NORMS``. The result is written to ``out``
    where given. Raises KernelError, before any launch, for tensors that ``signatures.check`` refuses or that are on no
    GPU, for settings that are unknown or at odds with the tensors, and for rows wider than the table of ``mlp`` serves.
    """
    sizes = check("mlp", x=x, w_in=w_in, b_in=b_in, w_out=w_out, b_out=b_out, gain=gain, bias=bias)
    check_mlp("mlp", sizes, kind=kind, norm=norm, gain=gain, bias=bias)
    admit("mlp", "x", x)
    tile = fitting("mlp", x)
    y: Tensor
    (y,) = buffers("mlp", x.device, None if out is None else (out,), y=(tuple(x.shape), x.dtype))
    _mlp_fwd[(triton.cdiv(sizes["M"], tile["rows"]), sizes["K"])](
        x, gain, bias, w_in, b_in, w_out, b_out, y, sizes["M"], sizes["D"], sizes["F"], eps, NORM=norm, KIND=kind,
        RESIDUAL=residual, WIDTH=padded(sizes["D"]), **tile.constants, **tile.launch,
    )  # fmt: skip
    return y


def flops(rows: int, width: int, deep: int, *, kind: str) -> tuple[int, int]:
    """FLOPs of the products of ``rows`` of one model, forward and backward, recomputation among the latter."""
    gated = kind in activation.GATED
    return (6 if gated else 4) * rows * width * deep, (22 if gated else 14) * rows * width * deep


def least_bytes(rows: int, width: int, deep: int, size: int, *, kind: str) -> tuple[int, int]:
    """Bytes that one model, with norm and all biases, must read and write, forward and backward, ``size`` an element.

    Sums behind the gradients of gain and biases, four bytes an element of each program, come on top.
    """
    matrices, halves = (3, 2) if kind in activation.GATED else (2, 1)
    weights = matrices * width * deep + halves * deep + 2 * width  # w_in, w_out, b_in, gain, bias; not b_out
    return size * (2 * rows * width + weights + width), size * (3 * rows * width + 2 * weights + width)


def padded(width: int) -> int:
    """The columns of a tile that holds rows of ``width``: a power of two that a product of matrices takes."""
    return max(16, int(triton.next_power_of_2(width)))


def fitting(op: str, x: Tensor) -> Configuration:
    """The row of the table of ``op`` for ``x``; KernelError where no row holds rows so wide."""
    return configuration(op, width=x.shape[-1], dtype=x.dtype, chip=chip_of(x.device), beyond=BEYOND)
