"""A whole Transformer block of one sequence in one program, for K models of small width: experimental.

    u = norm(x) gain1 + bias1;   q, k, v = u W_qkv^T + b_qkv;   q, k turned by their positions where rotary
    x1 = x + (causal softmax(q k^T / sqrt(C)) v) W_proj^T + b_proj;   y = x1 + the MLP of the norm of x1

W_qkv holds the rows of H query heads of C, then G key heads, then G value heads; each of those serves H/G query heads.
FLOPs of B sequences of T rows of D in dots: B T (4 D C (H + G) + 4 D F (6 D F gated)) and 4 B T^2 C H of attention,
which computes the whole square and keeps the causal half. Minimum bytes at s bytes an element: s (2 B T D + 2 D C (H +
G) + 2 D F (3 D F gated)), and s B T D more for x1, which the backward pass starts from: nothing else between x and y
is in memory, and eleven launches of a plain block are one. Arithmetic intensity at two bytes, F = 4 D, H C = G C = D
and many sequences: 4 D + 2 T/3 FLOPs a byte.

One program holds a sequence: D to 64 and T to 128, as far as registers go.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import mlp
from isoflop.kernels.activation import GATED
from isoflop.kernels.block_attention import attend
from isoflop.kernels.buffers import buffers
from isoflop.kernels.launch import admit
from isoflop.kernels.mlp import fitting, padded
from isoflop.kernels.mlp_tiles import feed_forward
from isoflop.kernels.rotary import turns
from isoflop.kernels.row_norm import normed, read, scaled
from isoflop.kernels.signatures import check, check_mlp

LONGEST = {16: 128, 32: 32}
"""Positions of a sequence that one program holds, by the bits of an element: matrix units do not take 32."""


@triton.jit
def _block_fwd(
    X, GAIN1, BIAS1, W_QKV, B_QKV, W_PROJ, B_PROJ, GAIN2, BIAS2, W_IN, B_IN, W_OUT, B_OUT, COS, SIN, X1, Y,
    T, D, F, C, H, G, eps, scale, NORM: tl.constexpr, KIND: tl.constexpr, ROTARY: tl.constexpr,
    LENGTH: tl.constexpr, WIDTH: tl.constexpr, HEAD: tl.constexpr, HIDDEN: tl.constexpr,
):  # fmt: skip
    """Grid (B, K). X, X1, Y (K, B, T, D); W_QKV (K, (H + 2G) C, D); W_PROJ (K, D, H C); COS, SIN (T, C/2) float32."""
    model, sequence = tl.program_id(1).to(tl.int64), tl.program_id(0)
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    rows, cols = tl.arange(0, LENGTH)[:, None], tl.arange(0, WIDTH)[None, :]
    inside, column = cols < D, model * D + cols
    live = (rows < T) & inside
    at = (model * tl.num_programs(0) + sequence) * T * D + rows * D + cols
    if B_QKV is not None:
        B_QKV += model * (H + 2 * G) * C
    if B_IN is not None:
        B_IN += model * gated * F
    x = read(X, at, live)
    n, _ = normed(x, inside, D, eps, NORM)
    u = scaled(n, GAIN1, BIAS1, column, inside).to(X.dtype.element_ty)
    if B_PROJ is not None:
        x += read(B_PROJ, column, inside)
    x = attend(
        u, x, W_QKV + model * (H + 2 * G) * C * D, B_QKV, W_PROJ + model * D * H * C, COS, SIN, T, D, C, H, G, scale,
        ROTARY, LENGTH, WIDTH, HEAD,
    )  # fmt: skip
    middle = x.to(X1.dtype.element_ty)
    tl.store(X1 + at, middle, mask=live)
    x = middle.to(tl.float32)
    n, _ = normed(x, inside, D, eps, NORM)
    u = scaled(n, GAIN2, BIAS2, column, inside).to(X.dtype.element_ty)
    if B_OUT is not None:
        x += read(B_OUT, column, inside)
    y = feed_forward(u, x, W_IN + model * gated * F * D, B_IN, W_OUT + model * F * D, D, F, KIND, WIDTH, HIDDEN)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=live)


def forward(
    x: Tensor, gain1: Tensor, bias1: Tensor | None, w_qkv: Tensor, b_qkv: Tensor | None, w_proj: Tensor,
    b_proj: Tensor | None, gain2: Tensor, bias2: Tensor | None, w_in: Tensor, b_in: Tensor | None, w_out: Tensor,
    b_out: Tensor | None, *, n_head: int, n_kv_head: int, kind: str, norm: str, rope_base: float | None = None,
    eps: float = 1e-5, out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(y, x1), the block of ``x`` (K, B, T, D) and its middle: w_qkv (K, (H + 2G) C, D), w_proj (K, D, H C).

    The weights of the MLP are those of ``mlp.forward``; x1 is what the backward pass needs.

    Both fill ``out`` where given. ``norm`` is "layer" or "rms"; ``rope_base`` that of rotary positions, None without
    them. Raises KernelError, before any launch, as ``mlp.forward`` does, for sequences longer than ``LONGEST`` and for
    heads that do not fit w_qkv.
    """
    given = {
        "x": x, "gain1": gain1, "bias1": bias1, "w_qkv": w_qkv, "b_qkv": b_qkv, "w_proj": w_proj, "b_proj": b_proj,
        "gain2": gain2, "bias2": bias2, "w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out,
    }  # fmt: skip
    sizes = check("block", **given)
    check_mlp("block", sizes, kind=kind, norm=norm, gain=gain1, bias=bias1)
    d_head = refuse_heads(sizes, n_head, n_kv_head, rotary=rope_base is not None)
    refuse_length(x)
    admit("block", "x", x)
    tile = fitting("block", x)
    size = tuple(x.shape), x.dtype
    y, middle = buffers("block", x.device, out, y=size, middle=size)
    cos, sin = turns(sizes["T"], d_head, rope_base, x.device)
    _block_fwd[(sizes["B"], sizes["K"])](
        *given.values(), cos, sin, middle, y, sizes["T"], sizes["D"], sizes["F"], d_head, n_head, n_kv_head, eps,
        LOG2_E / d_head**0.5, NORM=norm, KIND=kind, ROTARY=rope_base is not None, LENGTH=padded(sizes["T"]),
        WIDTH=padded(sizes["D"]), HEAD=padded(d_head), **tile.constants, **tile.launch,
    )  # fmt: skip
    return y, middle


def flops(
    batch: int, seq: int, width: int, deep: int, d_head: int, *, n_head: int, n_kv_head: int, kind: str
) -> tuple[int, int]:
    """FLOPs of the products of one model, forward and backward, recomputation and the masked half among them."""
    rows, of_mlp = batch * seq, mlp.flops(batch * seq, width, deep, kind=kind)
    weights, square = width * d_head, batch * seq * seq * d_head * n_head
    forward = 4 * rows * weights * (n_head + n_kv_head) + 4 * square
    backward = 6 * rows * weights * (n_head + 2 * n_kv_head) + 4 * rows * weights * n_head + 12 * square
    return of_mlp[0] + forward, of_mlp[1] + backward


def least_bytes(
    batch: int, seq: int, width: int, deep: int, d_head: int, size: int, *, n_head: int, n_kv_head: int, kind: str
) -> tuple[int, int]:
    """That one model reads and writes, forward with x1 and backward, ``size`` an element, biases and gains aside."""
    rows, matrices = batch * seq * width, 3 if kind in GATED else 2
    weights = 2 * width * d_head * (n_head + n_kv_head) + matrices * width * deep
    return size * (3 * rows + weights), size * (4 * rows + 2 * weights)


LOG2_E = 1.4426950408889634


def refuse_heads(sizes: dict[str, int], n_head: int, n_kv_head: int, *, rotary: bool) -> int:
    """The width of a head; KernelError where heads are at odds with the tensors."""
    width = sizes["S"] // n_head
    if width * n_head != sizes["S"] or width * (n_head + 2 * n_kv_head) != sizes["R"] or n_head % n_kv_head:
        raise KernelError(
            f"block: {n_head} heads and {n_kv_head} of keys and values do not share out {sizes['R']} rows of w_qkv and "
            f"{sizes['S']} columns of w_proj",
            hint="(n_head + 2 n_kv_head) d_head rows, n_head d_head columns; n_head is a multiple of n_kv_head",
        )
    if rotary and width % 2:
        raise KernelError(f"block: rotary positions turn pairs, and a head has {width} columns")
    return width


def refuse_length(x: Tensor) -> None:
    """KernelError where a program does not hold the sequences of ``x`` (K, B, T, D)."""
    most = LONGEST[8 * x.dtype.itemsize]
    if x.shape[2] > most:
        raise KernelError(
            f"block: x has sequences of {x.shape[2]}; a program holds {most} positions of {str(x.dtype)[6:]}",
            hint="isoflop.kernels.attention and isoflop.kernels.mlp take any length",
        )
