"""Calls of every operator, each at a size that the interpreter runs in a moment, and the gradients of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

K, B, T, D, F, V, H, G, C, E = 2, 1, 5, 12, 16, 9, 2, 1, 4, 3


@dataclass
class Case:
    """A call of an operator: shapes of tensors by name, settings, which tensors lie transposed in memory."""

    op: str
    shapes: dict[str, tuple[int, ...] | None]
    settings: dict[str, Any] = field(default_factory=dict)
    turned: tuple[str, ...] = ()

    def tensors(self) -> dict[str, Tensor | None]:
        torch.manual_seed(0)
        made: dict[str, Tensor | None] = {}
        for name, shape in self.shapes.items():
            if name in ("tokens", "targets"):
                made[name] = torch.randint(0, V, shape or ())
            else:
                made[name] = None if shape is None else torch.randn(shape) / 2
        return made | {name: made[name].mT.contiguous().mT for name in self.turned}

    def call(self, implementation: Callable[..., Any], tensors: dict[str, Tensor | None]) -> tuple[Tensor, ...]:
        made = implementation(**tensors, **self.settings)
        return made if isinstance(made, tuple) else (made,)


MLP = {"x": (K, T, D), "w_in": (K, F, D), "b_in": (K, F), "w_out": (K, D, F), "b_out": (K, D)}
MOE = {"x": (K, T, D), "router": (K, E, D), "w_in": (K, E, F, D), "w_out": (K, E, D, F)}
CASES = {
    "norm": Case("norm", {"x": (K, T, D), "gain": (K, D), "bias": (K, D)}, {"kind": "layer"}),
    "rms": Case("norm", {"x": (K, T, D), "gain": (K, D), "bias": None}, {"kind": "rms"}),
    "add norm": Case(
        "add_norm", {"x": (K, T, D), "residual": (K, T, D), "gain": (K, D), "bias": (K, D)}, {"kind": "layer"}
    ),
    "add rms": Case("add_norm", {"x": (K, T, D), "residual": (K, T, D), "gain": (K, D), "bias": None}, {"kind": "rms"}),
    "linear": Case("linear", {"x": (K, T, D), "weight": (K, F, D), "bias": (K, F), "residual": (K, T, F)}),
    "plain linear": Case("linear", {"x": (K, T, D), "weight": (K, F, D)}),
    "turned linear": Case("linear", {"x": (K, T, D), "weight": (K, F, D), "bias": (K, F)}, turned=("weight",)),
    "qkv": Case(
        "norm_qkv",
        {"x": (K, B, T, D), "gain": (K, D), "shift": (K, D), "weight": (K, 16, D), "bias": (K, 16)},
        {"kind": "layer", "n_head": H, "n_kv_head": G},
    ),
    "rms qkv rope": Case(
        "norm_qkv",
        {"x": (K, B, T, D), "gain": (K, D), "shift": None, "weight": (K, 16, D), "bias": None},
        {"kind": "rms", "n_head": H, "n_kv_head": G, "base": 100.0},
    ),
    "attention": Case("attention", {"q": (K, B, H, T, C), "k": (K, B, G, T, C), "v": (K, B, G, T, C)}),
    "window": Case("attention", {"q": (K, B, H, T, C), "k": (K, B, H, T, C), "v": (K, B, H, T, C)}, {"window": 2}),
    "mlp": Case(
        "mlp", MLP | {"gain": (K, D), "bias": (K, D)}, {"kind": "gelu", "norm": "layer", "residual": True}
    ),
    "swiglu": Case(
        "mlp",
        MLP | {"w_in": (K, 2 * F, D), "b_in": None, "b_out": None, "gain": (K, D)},
        {"kind": "swiglu", "norm": "rms"},
    ),
    "loss": Case("linear_cross_entropy", {"x": (K, T, D), "weight": (K, V, D), "targets": (K, T)}),
    "weighted losses": Case(
        "linear_cross_entropy",
        {"x": (K, T, D), "weight": (K, V, D), "targets": (K, T), "weights": (K, T)},
        {"reduction": "none", "z_loss": 1e-2, "ignore_index": 3},
    ),
    "embed": Case("embed", {"tokens": (K, B, T), "token_table": (K, V, D), "position_table": (K, 7, D)}),
    "tokens alone": Case("embed", {"tokens": (K, B, T), "token_table": (K, V, D)}),
    "moe": Case("moe", MOE, {"kind": "gelu", "top_k": 1, "capacity_factor": 0.7}),
    "swiglu experts": Case(
        "moe", MOE | {"w_in": (K, E, 2 * F, D)}, {"kind": "swiglu", "top_k": 2, "renormalise": True}
    ),
}  # fmt: skip


def leaves(tensors: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """Those that have a gradient, ready for one."""
    return {
        name: each.requires_grad_()
        for name, each in tensors.items()
        if each is not None and each.is_floating_point() and name != "weights"
    }


def gradients(case: Case, implementation: Callable[..., Any]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Results, and the gradients of a sum that gives every element of them another weight."""
    tensors = case.tensors()
    wanted = leaves(tensors)
    made = case.call(implementation, tensors)
    total = sum((each * torch.linspace(0.5, 1.5, each.numel()).view(each.shape)).sum() for each in made)
    assert isinstance(total, Tensor)
    return made, torch.autograd.grad(total, list(wanted.values()))
