"""What a launcher writes into: new tensors, or those of an earlier call, which a replayed graph needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from isoflop.errors import KernelError


def buffers(
    op: str, device: torch.device, out: Sequence[Any] | None, **wanted: tuple[tuple[int, ...], torch.dtype] | None
) -> list[Any]:
    """A tensor, uninitialised, of each shape and dtype wanted, None for None; with ``out`` its own, if they are such.

    Raises:
        KernelError: a tensor of ``out`` of another shape, dtype or device, or with gaps.
    """
    if out is None:
        return [
            None if each is None else torch.empty(*each[0], dtype=each[1], device=device) for each in wanted.values()
        ]
    for (name, needed), tensor in zip(wanted.items(), out, strict=True):
        given = None if tensor is None else (tuple(tensor.shape), tensor.dtype)
        if given != needed or (isinstance(tensor, Tensor) and (tensor.device != device or not tensor.is_contiguous())):
            raise KernelError(
                f"{op}: {name} of out is {_words(given)}; needed: {_words(needed)}, contiguous, on {device}",
                hint="keep one out for each set of sizes and options",
            )
    return list(out)


def _words(size: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    return "absent" if size is None else f"{tuple(size[0])} {str(size[1]).removeprefix('torch.')}"
