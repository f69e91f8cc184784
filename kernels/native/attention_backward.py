"""Gradients of attention, scores computed again from the log-sum-exp; see ``csrc/ops/attention_backward.cpp``."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.attention import axes, of_chance, settings
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import Chance, check, check_heads, check_mask


class Gradients(NamedTuple):
    """Of q (K, B, H, T, C), k and v (K, B, G, T, C)."""

    dq: Tensor
    dk: Tensor
    dv: Tensor


def backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, *,
    causal: bool = True, window: int | None = None, scale: float | None = None, chance: Chance | None = None,
    out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy``, the inputs of :func:`attention.forward` and its results, in ``out`` of an earlier call.

    Raises KernelError as the forward pass does.
    """
    sizes = check("attention_backward", dy=dy, q=q, k=k, v=v, y=y, lse=lse)
    check_mask(causal, window)
    check_heads(sizes)
    refuse_device("attention_backward", q)
    of_query, of_key = (tuple(q.shape), q.dtype), (tuple(k.shape), k.dtype)
    made = Gradients(*buffers("attention_backward", q.device, out, dq=of_query, dk=of_key, dv=of_key))
    given = [dy, q, k, v, y, lse, *made, *of_chance(chance)]
    call("attention_backward", given, axes(sizes), settings(sizes, causal, window, scale, chance))
    return made
