"""Gradients of attention, scores computed again from the log-sum-exp; see ``csrc/ops/attention_backward.cpp``."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.attention import axes, settings
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.native.heads import join_projection, split_projection
from isoflop.kernels.signatures import check, check_heads, check_mask


class Gradients(NamedTuple):
    """Of q (K, B, H, T, C), k and v (K, B, G, T, C), beside each other in rows."""

    dq: Tensor
    dk: Tensor
    dv: Tensor


def backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, *,
    causal: bool = True, window: int | None = None, scale: float | None = None, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy``, the inputs of :func:`attention.forward` and its results, in ``out`` of an earlier call.

    Heads may lie anywhere in memory. Raises KernelError as the forward pass does.
    """
    sizes = check("attention_backward", ("dy", "q", "k", "v", "y"), dy=dy, q=q, k=k, v=v, y=y, lse=lse)
    check_mask(causal, window)
    check_heads(sizes)
    refuse_device("attention_backward", q)
    models, batch, heads, seq, width = q.shape
    (rows,) = buffers(
        "attention_backward", q.device, None if out is None else (join_projection(*out),),
        rows=((models, batch, seq, (heads + 2 * sizes["G"]) * width), q.dtype),
    )  # fmt: skip
    made = Gradients(*split_projection(rows, heads, sizes["G"]))
    call(
        "attention_backward", [dy, q, k, v, y, lse, *made], axes(sizes, dy, q, k, v, y, *made),
        settings(sizes, causal, window, scale),
    )  # fmt: skip
    return made
