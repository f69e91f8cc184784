"""Gradients of a whole Transformer block: its MLP as ``mlp_backward``, then one program a sequence: experimental.

With g the gradient of x1, which the MLP's kernels give, and for each head p the causal weights, computed again:

    do = g W_proj;   dW_proj = g^T o;   dv = p^T do;   e = do v^T;   ds = p (e - sum(p e)) / sqrt(C)
    dq = ds k;   dk = ds^T q;   du = dq W_q + dk W_k + dv W_v;   dW_qkv = (dq, dk, dv)^T u
    dx = g + the gradient of the norm from du

FLOPs of B sequences of T rows in products, beside those of ``mlp_backward``: B T (6 D C (H + 2 G) + 4 D C H), and 12 B
T^2 C H between queries and keys, of which half is causal. Minimum bytes at s bytes an element: 3 B T D s (x, g, dx) and
the weights; and each sequence writes its gradients of W_qkv and W_proj in float32, 8 D C (H + G) bytes, that a second
kernel adds up in a fixed order. Intensity at two bytes, H C = G C = D: (22 D + 12 T)/(6 + 32 D/T) FLOPs a byte of all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import mlp_backward
from isoflop.kernels.block import LOG2_E, refuse_heads, refuse_length
from isoflop.kernels.block_attention import attention_gradient
from isoflop.kernels.buffers import buffers
from isoflop.kernels.launch import admit
from isoflop.kernels.mlp import fitting, padded
from isoflop.kernels.mlp_tiles import write_sum
from isoflop.kernels.partial import add_partials
from isoflop.kernels.rotary import turns
from isoflop.kernels.row_norm import normed, normed_gradient, read, read_first, scaled
from isoflop.kernels.signatures import check, check_mlp


@triton.jit
def _attend_bwd(
    DX1, X, GAIN, BIAS, W_QKV, B_QKV, W_PROJ, COS, SIN, DX, DGAIN, DBIAS, DW_QKV, DB_QKV, DW_PROJ, DB_PROJ,
    T, D, C, H, G, eps, scale, root, NORM: tl.constexpr, ROTARY: tl.constexpr, LENGTH: tl.constexpr,
    WIDTH: tl.constexpr, HEAD: tl.constexpr,
):  # fmt: skip
    """Grid (B, K). DX1, X, DX (K, B, T, D); the other gradients (K, B, ...) float32, of one sequence each."""
    model, packed = tl.program_id(1).to(tl.int64), (H + 2 * G) * C
    part = model * tl.num_programs(0) + tl.program_id(0)
    rows, cols = tl.arange(0, LENGTH)[:, None], tl.arange(0, WIDTH)[None, :]
    inside, column, sums = cols < D, model * D + cols, part * D + cols
    live, at = (rows < T) & inside, part * T * D + rows * D + cols
    if B_QKV is not None:
        B_QKV += model * packed
        DB_QKV += part * packed
    n, _ = normed(read_first(X, at, live), inside, D, eps, NORM)
    u = scaled(n, GAIN, BIAS, column, inside).to(X.dtype.element_ty)
    du = attention_gradient(
        u, tl.load(DX1 + at, mask=live, other=0.0, eviction_policy="evict_last"), W_QKV + model * packed * D, B_QKV,
        W_PROJ + model * D * H * C, DW_QKV + part * packed * D, DB_QKV, DW_PROJ + part * D * H * C, COS, SIN,
        T, D, C, H, G, scale, root, ROTARY, LENGTH, WIDTH, HEAD,
    )  # fmt: skip
    n, rstd = normed(read(X, at, live), inside, D, eps, NORM)
    write_sum(DGAIN, sums, du * n, inside)
    write_sum(DBIAS, sums, du, inside)
    dx1 = read(DX1, at, live)
    write_sum(DB_PROJ, sums, dx1, inside)
    dx = dx1 + normed_gradient(scaled(du, GAIN, None, column, inside), n, rstd, inside, D, NORM)
    tl.store(DX + at, dx.to(DX.dtype.element_ty), mask=live)


class Gradients(NamedTuple):
    """Of what the block takes, None where it takes none; what is behind them is room for the next call."""

    dx: Tensor
    dgain1: Tensor
    dbias1: Tensor | None
    dw_qkv: Tensor
    db_qkv: Tensor | None
    dw_proj: Tensor
    db_proj: Tensor | None
    gain1_sums: Tensor
    bias1_sums: Tensor | None
    w_qkv_sums: Tensor
    b_qkv_sums: Tensor | None
    w_proj_sums: Tensor
    b_proj_sums: Tensor | None
    mlp: mlp_backward.Gradients

    def named(self) -> dict[str, Tensor | None]:
        """Every gradient, by the name that it has in the block."""
        of_mlp = self.mlp._asdict()
        named: dict[str, Tensor | None] = {"dgain2": self.mlp.dgain, "dbias2": self.mlp.dbias}
        named |= {name: of_mlp[name] for name in ("dw_in", "db_in", "dw_out", "db_out")}
        return dict(zip(self._fields[:7], self[:7], strict=True)) | named


def backward(
    dy: Tensor, middle: Tensor, x: Tensor, gain1: Tensor, bias1: Tensor | None, w_qkv: Tensor, b_qkv: Tensor | None,
    w_proj: Tensor, b_proj: Tensor | None, gain2: Tensor, bias2: Tensor | None, w_in: Tensor, b_in: Tensor | None,
    w_out: Tensor, b_out: Tensor | None, *, n_head: int, n_kv_head: int, kind: str, norm: str,
    rope_base: float | None = None, eps: float = 1e-5, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy`` (K, B, T, D) and what :func:`isoflop.kernels.block.forward` took, and gave as ``middle``.

    They fill ``out``, the gradients of an earlier call, where given. Raises KernelError as the forward does.
    """
    given = {
        "x": x, "gain1": gain1, "bias1": bias1, "w_qkv": w_qkv, "b_qkv": b_qkv, "w_proj": w_proj, "b_proj": b_proj,
    }  # fmt: skip
    last = {"gain2": gain2, "bias2": bias2, "w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out}
    sizes = check("block_backward", dy=dy, middle=middle, **given, **last)
    check_mlp("block_backward", sizes, kind=kind, norm=norm, gain=gain1, bias=bias1)
    d_head = refuse_heads(sizes, n_head, n_kv_head, rotary=rope_base is not None)
    refuse_length(x)
    admit("block_backward", "dy", dy)
    tile, models, batch = fitting("block_backward", x), sizes["K"], sizes["B"]
    behind = mlp_backward.backward(
        dy.flatten(1, 2), middle.flatten(1, 2), w_in, b_in, w_out, b_out, gain2, bias2, kind=kind, norm=norm, eps=eps,
        residual=True, out=None if out is None else out.mlp,
    )  # fmt: skip
    wanted = {f"d{name}": None if each is None else (tuple(each.shape), each.dtype) for name, each in given.items()}
    sums = {
        f"{name}_sums": None if each is None else ((models, batch, *each.shape[1:]), torch.float32)
        for name, each in list(given.items())[1:]
    }
    made = buffers("block_backward", x.device, None if out is None else out[:-1], **wanted, **sums)
    cos, sin = turns(sizes["T"], d_head, rope_base, x.device)
    _attend_bwd[(batch, models)](
        behind.dx, *list(given.values())[:-1], cos, sin, made[0], *made[7:], sizes["T"], sizes["D"], d_head, n_head,
        n_kv_head, eps, LOG2_E / d_head**0.5, d_head**-0.5, NORM=norm, ROTARY=rope_base is not None,
        LENGTH=padded(sizes["T"]), WIDTH=padded(sizes["D"]), HEAD=padded(d_head), **tile.constants, **tile.launch,
    )  # fmt: skip
    for part, total in zip(made[7:], made[1:7], strict=True):
        if part is not None:
            add_partials(part, total)
    return Gradients._make([*made, behind])
