"""The op of K models from the op of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def on_models(op: Callable[..., Any]) -> Callable[..., Any]:
    """The op of K models: model k of every tensor, sequences of tensors too, meets model k of the others alone."""

    def model(k: int, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[k]
        return [model(k, each) for each in value] if isinstance(value, list | tuple) else value

    def stacked(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.stack(list(values))
        return tuple(stacked(each) for each in zip(*values, strict=True))

    def op_on_models(*args: Any, **kwargs: Any) -> Any:
        first = next(iter((*args, *kwargs.values())))
        models = range(len(first if isinstance(first, Tensor) else first[0]))
        return stacked(
            [op(*model(k, args), **{name: model(k, value) for name, value in kwargs.items()}) for k in models]
        )

    return op_on_models
