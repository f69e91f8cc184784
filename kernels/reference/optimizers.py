"""One step of AdamW and of Muon."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def adamw(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    *,
    decayed: Sequence[bool],
    step: float | Tensor,
    lr: float | Tensor,
    beta1: float | Tensor,
    beta2: float | Tensor,
    eps: float | Tensor,
    weight_decay: float | Tensor,
    clip: float | Tensor,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    """AdamW with decoupled decay (Loshchilov and Hutter, 2019, algorithm 2) after clipping the global gradient norm.

    g *= min(1, clip / |g|); m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p = (1 - lr wd) p - lr m / (1 - b1^step) / (sqrt(v / (1 - b2^step)) + eps), decay where ``decayed``.

    Returns the new parameters, first and second moments, and |g| before clipping; ``step`` counts from 1.
    """
    norm = torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
    scale = (clip / norm).clamp(max=1.0)
    m = [beta1 * old + (1 - beta1) * scale * grad for old, grad in zip(first, grads, strict=True)]
    v = [beta2 * old + (1 - beta2) * (scale * grad) ** 2 for old, grad in zip(second, grads, strict=True)]
    moved = []
    for param, decays, mean, square in zip(params, decayed, m, v, strict=True):
        keep = 1 - lr * weight_decay if decays else 1.0
        change = lr * mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
        moved.append(keep * param - change)
    return moved, m, v, norm


MUON = {"a": 3.4445, "b": -4.7750, "c": 2.0315, "eps": 1e-7}
"""Coefficients of the quintic of Jordan et al. 2024, and what keeps the norm of a matrix of noughts from dividing."""


def orthogonalise(u: Tensor, *, steps: int = 5) -> Tensor:
    """The matrix ``u`` (O, I) with its singular values brought near 1 (Jordan et al. 2024, Newton-Schulz quintic).

    x = u / (|u|_F + eps), then ``steps`` times x = a x + (b A + c A A) x with A = x x^T (rows the shorter side).
    """
    if u.shape[0] > u.shape[1]:
        return orthogonalise(u.T, steps=steps).T
    x: Tensor = u / (u.norm() + MUON["eps"])
    for _ in range(steps):
        gram = x @ x.T
        x = MUON["a"] * x + (MUON["b"] * gram + MUON["c"] * gram @ gram) @ x
    return x


def muon(
    params: Sequence[Tensor], grads: Sequence[Tensor], first: Sequence[Tensor], *, lr: float | Tensor,
    momentum: float | Tensor, weight_decay: float | Tensor, nesterov: bool = True, scaled: bool = True, steps: int = 5,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """Muon (Jordan et al. 2024) on matrices (O, I), decay decoupled.

    m = mu m + g, u = g + mu m (``nesterov``) or m,
    p = (1 - lr wd) p - lr s orthogonalise(u), s = max(1, O/I)^(1/2) where ``scaled``. Returns parameters and momenta.
    """
    m = [momentum * old + grad for old, grad in zip(first, grads, strict=True)]
    moved = []
    for param, grad, mean in zip(params, grads, m, strict=True):
        size = max(1.0, param.shape[0] / param.shape[1]) ** 0.5 if scaled else 1.0
        turned = orthogonalise(grad + momentum * mean if nesterov else mean, steps=steps)
        moved.append((1 - lr * weight_decay) * param - lr * size * turned)
    return moved, m
