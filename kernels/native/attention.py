"""Attention; see ``csrc/ops/attention.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.native.heads import join_heads, split_heads
from isoflop.kernels.signatures import check, check_heads, check_mask


def forward(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True, window: int | None = None, scale: float | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Attention of q (K, B, H, T, C) over k, v (K, B, G, T, C), H a multiple of G; ``scale`` is 1/sqrt(C) unless given.

    Heads may lie anywhere in memory. Returns y (K, B, H, T, C), whose heads lie beside each other in rows, and the
    log-sum-exp of the scores (K, B, H, T) in bits (base 2); ``out``, the results of an earlier call, is filled again.
    Raises KernelError for tensors that ``signatures.check`` refuses or that are not float32 on the host, an ``out`` of
    another form, H no multiple of G, and a window below 1 or without ``causal``.
    """
    sizes = check("attention", "qkv", q=q, k=k, v=v)
    check_mask(causal, window)
    check_heads(sizes)
    refuse_device("attention", q)
    models, batch, heads, seq, width = q.shape
    rows, lse = buffers(
        "attention", q.device, None if out is None else (join_heads(out[0]), out[1]),
        rows=((models, batch * seq, heads * width), q.dtype), lse=((models, batch, heads, seq), q.dtype),
    )  # fmt: skip
    y = split_heads(rows, batch=batch, heads=heads)
    call("attention", [q, k, v, y, lse], axes(sizes, q, k, v, y), settings(sizes, causal, window, scale))
    return y, lse


def axes(sizes: dict[str, int], *heads: Tensor) -> list[int]:
    """Sizes in the order of the ops, and the steps from sequence, head and position to the next of each tensor."""
    return [sizes[axis] for axis in "BHGTC"] + [step for each in heads for step in each.stride()[1:4]]


def settings(sizes: dict[str, int], causal: bool, window: int | None, scale: float | None) -> list[float]:
    """What both passes are told of a call: a window that hides nothing is none."""
    narrow = 0 if window is None or window >= sizes["T"] else window
    return [sizes["C"] ** -0.5 if scale is None else scale, causal, narrow]
