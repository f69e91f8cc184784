"""``isoflop::attention``: flash attention with grouped heads, causal, windowed or full."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels import attention as launcher
from isoflop.kernels import attention_backward
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.operators.boundary import Operator, Results, absent, present


def _attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int | None, scale: float | None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    y, lse = launcher.forward(q, k, v, causal=causal, window=window, scale=scale)
    return y, q.new_empty(q.shape[0], 0, dtype=torch.float32) if lse is None else lse


def _attention_backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor,
    causal: bool, window: int | None, scale: float | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    made = attention_backward.backward(dy, q, k, v, y, present(lse), causal=causal, window=window, scale=scale)
    return made.dq, made.dk, made.dv


def _fake(
    q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int | None, scale: float | None
) -> Results:  # fmt: skip
    width = min(q.shape[-1], launcher.WIDEST)
    past = configuration("attention", width=width, dtype=q.dtype, chip=chip_of(q.device))["sdpa_past"]
    lse = q.new_empty(q.shape[:-1], dtype=torch.float32)
    return torch.empty_like(q), absent(lse) if q.shape[-1] > past and window is None else lse


def _flops(q: Tensor, k: Tensor, causal: bool, window: int | None, pass_: int) -> tuple[int, int]:
    sizes = dict(zip("KBHTC", q.shape, strict=True))
    return launcher.flops(sizes, causal=causal, window=window)[pass_], 0


_ATTENTION = Operator(
    "attention", _attention, _attention_backward, fake=_fake, results=("y", "lse"),
    gradients={each: each for each in ("q", "k", "v")},
    costs=(
        lambda q, k, v, causal, window, scale: _flops(q, k, causal, window, 0),
        lambda dy, q, k, v, y, lse, causal, window, scale: _flops(q, k, causal, window, 1),
    ),
)  # fmt: skip


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True, window: int | None = None, scale: float | None = None
) -> Tensor:
    """softmax(scale q k^T) v, differentiable: q (K, B, H, T, C), k and v (K, B, G, T, C), H a multiple of G.

    Heads that the configuration table leaves to torch's SDPA go there, as ``last_dispatch()`` tells. Raises KernelError
    as :func:`isoflop.kernels.attention.forward` does.
    """
    return _ATTENTION(q, k, v, causal, window, scale)[0]
