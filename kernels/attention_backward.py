"""Gradients of attention, scores computed again from the log-sum-exp: the same bits every time, without atomics.

    p_ij = exp(s_ij - l_i)                  s_ij, l_i, y_i as in ``attention``
    dv_j = sum_i p_ij dy_i
    ds_ij = p_ij (dy_i v_j - delta_i),      delta_i = dy_i y_i
    dq_i = scale sum_j ds_ij k_j,           dk_j = scale sum_i ds_ij q_i

Two launches. A block of queries adds up its dq over blocks of keys and leaves delta behind; a block of keys adds up its
dk and dv over the query heads that share it and their blocks of queries. So every sum has one owner and one order
(FlashAttention-2, Dao, 2023, section 3.1, without its atomics), and the scores and dy v are computed in both: of the
14 C FLOPs a visible pair that are executed, 10 C are needed and counted. FLOPs and bytes are those of ``attention``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from isoflop.kernels import attention_sdpa
from isoflop.kernels.attention import settings
from isoflop.kernels.attention_dkdv import _attention_dkdv
from isoflop.kernels.attention_dq import _attention_dq
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import admit
from isoflop.kernels.signatures import Chance, check, check_heads, check_mask


class Gradients(NamedTuple):
    """Of q, k and v; delta (K, B, H, T), float32, None after SDPA, is room for the next call."""

    dq: Tensor
    dk: Tensor
    dv: Tensor
    delta: Tensor | None


def backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor | None, *,
    causal: bool = True, window: int | None = None, scale: float | Tensor | None = None, chance: Chance | None = None,
    out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy``, the inputs of :func:`attention.forward` and its results, in ``out`` of an earlier call.

    ``lse`` is None where the forward pass went to SDPA: so does this one. Raises KernelError as the forward pass does.
    """
    sizes = check("attention_backward", dy=dy, q=q, k=k, v=v, y=y, lse=lse)
    check_mask(causal, window)
    check_heads(sizes)
    if lse is not None:
        admit("attention_backward", "q", q)
    of_query, of_key = (tuple(q.shape), q.dtype), (tuple(k.shape), k.dtype)
    made = Gradients(*buffers(
        "attention_backward", q.device, out, dq=of_query, dk=of_key, dv=of_key,
        delta=None if lse is None else (tuple(lse.shape), torch.float32),
    ))  # fmt: skip
    if lse is None:
        record("attention_backward", "sdpa")
        dq, dk, dv = attention_sdpa.backward(dy, q, k, v, causal=causal, window=window, scale=scale)
        return Gradients(made.dq.copy_(dq), made.dk.copy_(dk), made.dv.copy_(dv), None)
    heads, group, seq = sizes["B"] * sizes["H"], sizes["H"] // sizes["G"], sizes["T"]
    told = settings(sizes, causal, window, scale, chance, q)
    by_row, by_column = (
        configuration(op, width=sizes["C"], dtype=q.dtype, chip=chip_of(q.device))
        for op in ("attention_dq", "attention_dkdv")
    )
    _attention_dq[(triton.cdiv(seq, by_row["rows"]) * heads, sizes["K"])](
        dy, q, k, v, y, lse, made.dq, made.delta, heads, group, **told, **by_row.constants, **by_row.launch
    )
    _attention_dkdv[(triton.cdiv(seq, by_column["columns"]) * heads // group, sizes["K"])](
        dy, q, k, v, lse, made.delta, made.dk, made.dv, heads, group, **told, **by_column.constants, **by_column.launch
    )
    return made
