"""Which module an operation belongs to: forward functions are wrapped while a trace runs, torch's hooks stay unused.

In the backward pass an operation belongs to the module whose forward pass made the autograd node that runs: nodes are
numbered as they are made, and the numbers at which modules were entered and left are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch._C import _current_autograd_node
from torch.autograd import _get_sequence_nr  # type: ignore[attr-defined]
from torch.compiler import is_dynamo_compiling


class Modules:
    """Modules of ``model`` by number, 0 the model itself; ``current`` is the one whose forward pass runs."""

    def __init__(self, model: nn.Module | None) -> None:
        self.names = [""]
        self.current = 0
        self._wrapped: list[tuple[nn.Module, int]] = []
        for name, module in () if model is None else model.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):
                self._wrapped.append((module, len(self.names)))
                self.names.append(name)
        self._originals: list[Any] = []
        self._home = get_ident()
        self._entries: dict[int, tuple[list[int], list[int]]] = {}

    def wrap(self) -> None:
        """Notice modules being entered."""
        self._home, self.current = get_ident(), 0
        self._entries = {self._home: ([0], [0])}
        self._originals = [module.__dict__.get("forward") for module, _ in self._wrapped]
        for module, number in self._wrapped:
            module.__dict__["forward"] = self._noticed(module.forward, number)

    def unwrap(self) -> None:
        """Leave the modules as they were."""
        for (module, _), original in zip(self._wrapped, self._originals, strict=True):
            if original is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = original

    def of_backward(self) -> int:
        """The module whose forward pass made the autograd node that runs now."""
        if not self._wrapped:
            return 0
        number = _current_autograd_node()._sequence_nr()
        made, modules = self._entries[self._home]
        # Backward passes of a GPU run in a thread of their own, which numbers the nodes that it makes again itself.
        if len(self._entries) > 1 and (own := self._entries.get(get_ident())) is not None:
            made, modules = own if own[0][0] <= number <= _get_sequence_nr() else (made, modules)
        at = bisect_right(made, number)
        return modules[at - 1] if at else 0

    def _noticed(self, forward: Callable[..., Any], number: int) -> Callable[..., Any]:
        def noticed(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling():
                return forward(*args, **kwargs)
            outer = self.current
            made, modules = self._entries_here(outer)
            made.append(_get_sequence_nr())
            modules.append(number)
            self.current = number
            try:
                return forward(*args, **kwargs)
            finally:
                made.append(_get_sequence_nr())
                modules.append(outer)
                self.current = outer

        return noticed

    def _entries_here(self, outer: int) -> tuple[list[int], list[int]]:
        """Node numbers and modules of this thread; elsewhere than at home only those since the outermost module."""
        thread = get_ident()
        if thread != self._home and (outer == 0 or thread not in self._entries):
            self._entries[thread] = ([], [])
        return self._entries[thread]
