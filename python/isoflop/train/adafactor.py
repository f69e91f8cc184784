"""Adafactor (Shazeer and Stern 2018, arXiv 1804.04235): second moments of matrices by their rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor

EPS = {"square": 1e-30, "scale": 1e-3}
"""Beneath squared gradients, and beneath the size of parameters under relative steps (section 8, epsilon 1 and 2)."""


def adafactor(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    moments: Sequence[tuple[Tensor, ...]],
    *,
    decayed: Sequence[bool],
    step: float,
    lr: float,
    decay: float = 0.8,
    threshold: float = 1.0,
    weight_decay: float = 0.0,
    relative: bool = False,
) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
    """One step of algorithms 4 and 5, without a first moment; weight decay decoupled, where ``decayed``.

    b = 1 - step^-decay; R = b R + (1 - b) mean over columns of (g^2 + eps), C the same over rows;
    v = R C / mean(R) for matrices (..., O, I), b v + (1 - b) (g^2 + eps) for vectors;
    u = g / sqrt(v), over max(1, rms(u) / threshold); p = (1 - lr wd) p - a u,
    a = lr, or max(eps, rms(p)) min(lr, 1/sqrt(step)) where ``relative``.

    ``moments`` are (R, C) or (v,) of each parameter, as :func:`first_moments` makes them; stacks of matrices are each
    by themselves. Returns new parameters and moments; ``step`` counts from 1.
    """
    keep = 1 - step**-decay
    moved, kept = [], []
    for param, grad, old, decays in zip(params, grads, moments, decayed, strict=True):
        square = grad.square() + EPS["square"]
        axes = (-1, -2) if param.ndim > 1 else (None,)
        seen = [square if axis is None else square.mean(axis, keepdim=True) for axis in axes]
        new = tuple(keep * was + (1 - keep) * now for was, now in zip(old, seen, strict=True))
        # Divided first: the product of two small moments is 0 in float32.
        spread = new[0] if len(new) == 1 else new[0] / new[0].mean(-2, keepdim=True) * new[1]
        change = grad * spread.rsqrt()
        axes_of_one = tuple(range(-min(param.ndim, 2), 0))
        change = change / (_rms(change, axes_of_one) / threshold).clamp(min=1.0)
        size = _rms(param, axes_of_one).clamp(min=EPS["scale"]) * min(lr, step**-0.5) if relative else lr
        stays = param * (1 - lr * weight_decay) if decays else param
        moved.append(stays - size * change)
        kept.append(new)
    return moved, kept


def first_moments(param: Tensor) -> tuple[Tensor, ...]:
    """The moments, all 0, that :func:`adafactor` begins with: (..., O, 1) and (..., 1, I), or (n,) of a vector."""
    if param.ndim < 2:
        return (torch.zeros_like(param),)
    return torch.zeros_like(param[..., :1]), torch.zeros_like(param[..., :1, :])


def _rms(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.square().mean(axes, keepdim=True).sqrt()


class Adafactor(torch.optim.Optimizer):
    """:func:`adafactor` as an optimizer of torch; groups may have their own ``lr`` and ``weight_decay``."""

    def __init__(
        self, params: Any, *, lr: float, decay: float = 0.8, weight_decay: float = 0.0, relative: bool = False
    ) -> None:
        super().__init__(params, {"lr": lr, "decay": decay, "weight_decay": weight_decay, "relative": relative})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Any) -> float: ...

    @torch.no_grad()
    def step(self, closure: Any = None) -> float | None:
        """One step from the gradients that the parameters hold; ``closure`` is not called."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._move(param, group)
        return None

    def _move(self, param: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        names = ("row", "column") if param.ndim > 1 else ("square",)
        if not state:
            state |= {"step": torch.tensor(0.0), **dict(zip(names, first_moments(param), strict=True))}
        state["step"] += 1
        [moved], [moments] = adafactor(
            [param],
            [param.grad],  # type: ignore[list-item]
            [tuple(state[name] for name in names)],
            decayed=[True],
            step=state["step"].item(),
            lr=group["lr"],
            decay=group["decay"],
            weight_decay=group["weight_decay"],
            relative=group["relative"],
        )
        param.copy_(moved)
        state |= dict(zip(names, moments, strict=True))
