"""Settings of ops, refused where they mean nothing."""

from __future__ import annotations

import math

from isoflop.errors import KernelError


def check_mask(causal: bool, window: int | None) -> None:
    """Raise KernelError for a window below 1, or one that a mask that is not causal cannot have."""
    if window is None:
        return
    if not causal:
        raise KernelError(f"attention: a window of {window} positions needs a causal mask", hint="causal=True")
    if window < 1:
        raise KernelError(f"attention: a window of {window} positions; a query sees itself at least: 1 or more")


def expert_capacity(rows: int, n_expert: int, top_k: int, capacity_factor: float | None) -> int | None:
    """Rows that an expert takes: ceil(capacity_factor rows top_k / n_expert), None for any number.

    Raises KernelError unless 1 <= top_k <= n_expert and capacity_factor > 0.
    """
    if not 1 <= top_k <= n_expert:
        raise KernelError(f"moe: top_k is {top_k}; it must be from 1 to the {n_expert} experts")
    if capacity_factor is None:
        return None
    if not 0 < capacity_factor < math.inf:
        raise KernelError(f"moe: capacity_factor is {capacity_factor}; it must be above 0", hint="None drops no row")
    return math.ceil(capacity_factor * rows * top_k / n_expert)
