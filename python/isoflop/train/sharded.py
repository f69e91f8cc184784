"""Tensors of which each process may hold a part alone: made whole, and parted again. Others are as they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """All of ``tensor``, on every process that holds a part of it."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def parted_as(tensor: Tensor, other: Any) -> Tensor:
    """A copy of ``tensor``, which every process has whole, held as ``other`` of the same form is."""
    if not hasattr(other, "device_mesh"):
        return tensor.to(other.device, copy=True)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
