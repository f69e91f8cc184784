"""``isoflop::attention``: flash attention with grouped heads, causal, windowed or full.

What the configuration table leaves to torch's SDPA is no call of ours, so that autograd and compilers see torch's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels import attention as launcher
from isoflop.kernels import attention_backward, reference
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.dispatch import record
from isoflop.kernels.operators.boundary import Operator, Results


def _attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int | None, scale: float | None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    y, lse = launcher.forward(q, k, v, causal=causal, window=window, scale=scale, backend="triton")
    assert lse is not None
    return y, lse


def _attention_backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor,
    causal: bool, window: int | None, scale: float | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    made = attention_backward.backward(dy, q, k, v, y, lse, causal=causal, window=window, scale=scale)
    return made.dq, made.dk, made.dv


def _fake(
    q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int | None, scale: float | None
) -> Results:  # fmt: skip
    return torch.empty_like(q), q.new_empty(q.shape[:-1], dtype=torch.float32)


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
    if window is None and _left_to_sdpa(q.shape[-1], q.dtype, q.device):
        y = reference.attention(*(each.flatten(0, 1) for each in (q, k, v)), causal=causal, scale=scale)
        return y.reshape(q.shape)
    return _ATTENTION(q, k, v, causal, window, scale)[0]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _left_to_sdpa(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    chosen = configuration("attention", width=min(width, launcher.WIDEST), dtype=dtype, chip=chip_of(device))
    left = width > chosen["sdpa_past"]
    if left:
        record("attention", "sdpa")
    return left
