"""Attention; see ``csrc/ops/attention.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import Chance, check, check_heads, check_mask


def forward(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True, window: int | None = None, scale: float | None = None,
    chance: Chance | None = None, out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Attention of q (K, B, H, T, C) over k, v (K, B, G, T, C), H a multiple of G; ``scale`` is 1/sqrt(C) unless given.

    ``chance`` drops weights, which are numbered as in (B, H, T, T). Returns y (K, B, H, T, C) and the log-sum-exp of
    the scores (K, B, H, T) in bits (base 2); ``out``, the results of an earlier call, is filled again. Raises
    KernelError for tensors that ``signatures.check`` refuses or that are not float32 on the host, an ``out`` of another
    form, H no multiple of G, and a window below 1 or without ``causal``.
    """
    sizes = check("attention", q=q, k=k, v=v)
    check_mask(causal, window)
    check_heads(sizes)
    refuse_device("attention", q)
    form = tuple(q.shape), q.dtype
    y, lse = buffers("attention", q.device, out, y=form, lse=(form[0][:-1], q.dtype))
    call(
        "attention", [q, k, v, y, lse, *of_chance(chance)], axes(sizes), settings(sizes, causal, window, scale, chance)
    )
    return y, lse


def axes(sizes: dict[str, int]) -> list[int]:
    """Sizes in the order of the ops."""
    return [sizes[axis] for axis in "BHGTC"]


def of_chance(chance: Chance | None) -> tuple[Tensor | None, ...]:
    """The tensors of ``chance`` in the order of the ops."""
    return (None,) * 4 if chance is None else chance[:4]


def settings(
    sizes: dict[str, int], causal: bool, window: int | None, scale: float | None, chance: Chance | None
) -> list[float]:
    """What both passes are told of a call: a window that hides nothing is none."""
    narrow = 0 if window is None or window >= sizes["T"] else window
    return [sizes["C"] ** -0.5 if scale is None else scale, causal, narrow, 0 if chance is None else chance.op]
