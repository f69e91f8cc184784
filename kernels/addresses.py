"""Tensors of any sizes in one launch: programs find theirs, and their block of it, in a table of addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError

ALIGNED = 16  # elements: tensors whose models all start on a multiple of it are read 128 bits at a time
TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


@triton.jit
def address(ADDRESSES, tensor, TYPE: tl.constexpr):
    """Where a tensor of this dtype begins."""
    return tl.multiple_of(tl.load(ADDRESSES + tensor).to(tl.pointer_type(TYPE)), 16)


@triton.jit
def elements(TENSOR, START, NUMEL, model, BLOCK: tl.constexpr, ALIGN: tl.constexpr):
    """The tensor of a program of a grid (blocks, K), where its BLOCK elements lie in it, and which of them there are.

    TENSOR and START (blocks,) say which tensor and from which element of a model on, NUMEL the elements of a model.
    """
    tensor, start = tl.load(TENSOR + tl.program_id(0)), tl.load(START + tl.program_id(0))
    numel = tl.multiple_of(tl.load(NUMEL + tensor), ALIGN)
    inside = tl.multiple_of(start, BLOCK) + tl.arange(0, BLOCK)
    return tensor, model * numel + inside, inside < numel


def refuse_unaligned(op: str, tensors: Mapping[str, Sequence[Tensor] | None]) -> None:
    """Raise KernelError naming the first tensor that starts at no multiple of 16 bytes, as those in a table must."""
    for name, group in tensors.items():
        for index, tensor in enumerate(group or ()):
            if tensor.data_ptr() % 16:
                raise KernelError(
                    f"{op}: {name}[{index}] starts at no multiple of 16 bytes", hint="allocate it on its own: .clone()"
                )
