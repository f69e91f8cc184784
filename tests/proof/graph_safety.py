"""What a CUDA graph cannot replay, made an error on any machine: allocation, and a host that reads what a GPU computes.

A replayed graph writes where the captured launches wrote, and its host code does not run. So between the launches only
operations may stand that give views of tensors, or write into tensors that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves
from triton.runtime import interpreter

# What reaches the host without an operation where the tensor is already there, as on a machine without a GPU.
ON_THE_HOST = (
    *("cpu", "cuda", "item", "tolist", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__complex__"),
    *("__index__", "__array__", "__contains__", "__format__", "__repr__", "__dlpack__"),
)


class NotReplayed(AssertionError):
    """An operation that a CUDA graph cannot hold."""


class _Operations(TorchDispatchMode):
    """Lets operations pass that return nothing but views of, or the very tensors of, their arguments."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        returns = operation._schema.returns
        if operation is torch.ops.aten.lift_fresh.default or any(each.alias_info is None for each in returns):
            raise NotReplayed(f"{operation} makes a tensor, or a number of the host")
        if operation is torch.ops.aten.copy_.default and args[0].device.type == "cpu" != args[1].device.type:
            raise NotReplayed(f"{operation} waits for {args[1].device}")
        before = _sizes(args, kwargs)
        made = operation(*args, **kwargs)
        if _sizes(args, kwargs) != before:
            raise NotReplayed(f"{operation} gives its result more room than there was")
        return made


class _Calls(TorchFunctionMode):
    """Refuses methods by which the host reads a tensor."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        moved = name == "to" and any(isinstance(each, str | torch.device) for each in (*args, *kwargs.values()))
        if moved or name in ON_THE_HOST:
            raise NotReplayed(f"{name} reads a tensor on the host")
        return function(*args, **kwargs)


@contextmanager
def graph_safe() -> Iterator[None]:
    """Raise NotReplayed for what a CUDA graph cannot hold; what the interpreter does inside a launch is its own."""
    launch = interpreter.GridExecutor.__call__

    def launched(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            return launch(*args, **kwargs)

    with (
        patch.object(interpreter.GridExecutor, "__call__", launched),
        patch.object(torch.cuda, "synchronize", _refuse("torch.cuda.synchronize")),
        _Calls(),
        _Operations(),
    ):
        yield


def _refuse(name: str) -> Callable[..., None]:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise NotReplayed(f"{name} waits for the device")

    return refused


def _sizes(*arguments: Any) -> list[int]:
    return [each.untyped_storage().nbytes() for each in tree_leaves(arguments) if isinstance(each, Tensor)]
