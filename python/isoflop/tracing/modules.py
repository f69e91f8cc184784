"""Which module an operation belongs to: its forward functions are wrapped while a trace runs, torch's hooks stay unused.

In the backward pass an operation belongs to the module whose forward pass made the autograd node that runs: nodes are
numbered as they are made, and the numbers at which modules were entered and left are kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.compiler import is_dynamo_compiling
from torch.autograd import _get_sequence_nr  # type: ignore[attr-defined]


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
        self._home = threading.get_ident()
        self._entries: dict[int, tuple[list[int], list[int]]] = {}

    def wrap(self) -> None:
        """Notice modules being entered."""
        self._home, self.current = threading.get_ident(), 0
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
        node = torch._C._current_autograd_node()
        if node is None:
            return 0
        made = node._sequence_nr()
        # Backward passes of a GPU run in a thread of their own, which numbers the nodes that it makes again itself.
        own = self._entries.get(threading.get_ident())
        if own is None or not own[0][0] <= made <= _get_sequence_nr():
            own = self._entries[self._home]
        at = bisect_right(own[0], made)
        return own[1][at - 1] if at else 0

    def _noticed(self, forward: Callable[..., Any], number: int) -> Callable[..., Any]:
        def noticed(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling():
                return forward(*args, **kwargs)
            outer = self.current
            self._go_to(number, fresh=outer == 0)
            try:
                return forward(*args, **kwargs)
            finally:
                self._go_to(outer, fresh=False)

        return noticed

    def _go_to(self, number: int, *, fresh: bool) -> None:
        thread = threading.get_ident()
        if thread not in self._entries or (fresh and thread != self._home):
            self._entries[thread] = ([], [])
        made, numbers = self._entries[thread]
        made.append(_get_sequence_nr())
        numbers.append(number)
        self.current = number
