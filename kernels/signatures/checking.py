"""The tensors of a call against the op's row of the table."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.kernels.signatures.blocks import BLOCKS
from isoflop.kernels.signatures.layers import LAYERS
from isoflop.kernels.signatures.op import DTYPES, Argument, Op
from isoflop.kernels.signatures.training import TRAINING

OPS: dict[str, Op] = LAYERS | BLOCKS | TRAINING


def check(op: str, apart: Collection[str] = (), /, **given: Tensor | Sequence[Tensor] | None) -> dict[str, int]:
    """The size of every axis of ``op`` in the tensors ``given`` by name.

    Those named in ``apart`` may have gaps, and their axes any order in memory, but for the last, which is dense.

    Raises:
        KernelError: an unknown op or argument; a tensor missing, on another device, of another dtype or rank, with gaps
            in memory, without elements, or whose size of an axis is not that of the others.
    """
    if op not in OPS:
        raise KernelError(f"there is no op {op!r}", hint=nearest(op, OPS))
    arguments = OPS[op].arguments
    for name in given.keys() - {argument.name for argument in arguments}:
        raise KernelError(f"{op} takes no {name!r}", hint=nearest(name, [argument.name for argument in arguments]))
    seen = _Seen(op, apart)
    for argument in arguments:
        value = given.get(argument.name)
        if value is None:
            if not argument.optional:
                raise KernelError(f"{op} needs {argument.name} ({argument.axes})")
            continue
        tensors = [value] if isinstance(value, Tensor) else list(value)
        seen.same("number of tensors", argument.name, len(tensors) if argument.many else 1, argument.many)
        for index, tensor in enumerate(tensors):
            seen.add(argument, f"{argument.name}[{index}]" if argument.many else argument.name, index, tensor)
    return {axis: size for axis, (size, _) in seen.facts.items() if isinstance(size, int) and len(axis) == 1}


class _Seen:
    """What the tensors of a call have in common, and which of them said it first."""

    def __init__(self, op: str, apart: Collection[str]) -> None:
        self.op, self.apart = op, apart
        self.facts: dict[str, tuple[object, str]] = {}

    def same(self, what: str, name: str, value: object, applies: bool = True) -> None:
        if not applies:
            return
        expected, first = self.facts.setdefault(what, (value, name))
        if value != expected:
            axis = f"axis {what}" if len(what) == 1 else what
            raise KernelError(f"{self.op}: {axis} is {value} in {name} and {expected} in {first}")

    def add(self, argument: Argument, name: str, index: int, tensor: Tensor) -> None:
        axes, shape = argument.axes.split(), tuple(tensor.shape)
        if len(shape) != len(axes) and not ("*" in axes and len(shape) >= len(axes) - 1):
            raise KernelError(f"{self.op}: {name} has shape {shape}; its axes are ({', '.join(axes)})")
        for axis, size in zip(axes, shape, strict=False):
            self.same(axis, name, size, axis != "*")
        self.same(f"shape of tensor {index}", name, shape, "*" in axes)
        if not tensor.numel():
            raise KernelError(f"{self.op}: {name} has shape {shape}, which holds no elements")
        self.same("device", name, tensor.device)
        self._check_dtype(argument, name, tensor.dtype)
        dense = tensor[..., :1].numel() == tensor.numel() or tensor.stride(-1) == 1
        if not (
            tensor.is_contiguous()
            or (argument.turned and tensor.mT.is_contiguous())
            or (argument.name in self.apart and dense)
        ):
            raise KernelError(
                f"{self.op}: {name} has gaps {'' if argument.turned else 'or is transposed '}in memory",
                hint=f"{name}.contiguous()",
            )

    def _check_dtype(self, argument: Argument, name: str, dtype: torch.dtype) -> None:
        exact = getattr(torch, argument.dtype, None)
        grouped = not isinstance(exact, torch.dtype)
        allowed = DTYPES if grouped else (exact,)
        if dtype not in allowed:
            names = ", ".join(str(each).removeprefix("torch.") for each in allowed)
            raise KernelError(f"{self.op}: {name} is {str(dtype).removeprefix('torch.')}; allowed: {names}")
        if grouped:
            self.same(f"dtype of the {argument.dtype}", name, dtype)
