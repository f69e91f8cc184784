"""The mode that sees every operation of torch and writes down what it costs: one dictionary look-up an operation."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch._C import _current_graph_task_id, is_grad_enabled
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.optim.optimizer import register_optimizer_step_post_hook as post_step
from torch.optim.optimizer import register_optimizer_step_pre_hook as pre_step
from torch.utils._python_dispatch import TorchDispatchMode

from isoflop.errors import SpecError
from isoflop.tracing.modules import Modules
from isoflop.tracing.ops import Op
from isoflop.tracing.resolve import ask_the_tensor, known, made_of_others, nothing, resolve, uncounted

# torch wraps __torch_dispatch__ against its compiler, which imports all of that on the first operation; where the
# compiler's own switch for one function and all below it can be reached, that is used instead.
try:
    from torch._C._dynamo.eval_frame import _FrameAction, _FrameExecStrategy, set_code_exec_strategy
except ImportError:
    set_code_exec_strategy = None  # type: ignore[assignment]

Record = tuple[Op, str, int]
"""An operation, its phase, the number of its module."""

_FLUSH_AT = 65_536


class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands records to ``flush`` in blocks; counting is done there, not here."""

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return set_code_exec_strategy is None

    def __init__(self, modules: Modules, flush: Callable[[list[Record]], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.modules = modules
        self.records: list[Record] = []
        self._flush = flush
        self._of_backward = modules.of_backward
        self._stepping = False
        self._open = ExitStack()

    def start(self) -> None:
        """See every operation from here on."""
        with ExitStack() as opening:
            opening.callback(self.flush)
            for register, hook in ((pre_step, self._begin_step), (post_step, self._end_step)):
                opening.callback(register(hook).remove)
            # torch compiles nothing under a mode, and raises where a full graph was asked for, as flex_attention does.
            if {"torch._dynamo", "torch.nn.attention.flex_attention"} & sys.modules.keys():
                opening.enter_context(torch.compiler.set_stance("force_eager"))
            self.modules.wrap()
            opening.callback(self.modules.unwrap)
            opening.enter_context(self)
            self._open = opening.pop_all()

    def stop(self) -> None:
        """See nothing any more, and hand over the rest."""
        self._stepping = False
        self._open.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func`` and write down its operations."""
        formula, call = known.get(func) or resolve(func)
        if kwargs is None:
            kwargs = {}
        if formula is nothing:
            return call(*args, **kwargs)
        if formula is made_of_others:
            with self:
                return func.decompose(*args, **kwargs)
        if formula is ask_the_tensor:
            return NotImplemented
        out = call(*args, **kwargs)
        if self._stepping:
            phase, module = "optimizer", 0
        elif _current_graph_task_id() == -1:
            phase, module = "forward", self.modules.current
        elif is_grad_enabled() and _is_recomputing():
            phase, module = "recompute", self.modules.current
        else:
            phase, module = "backward", self._of_backward()
        try:
            ops = formula(args, kwargs, out)
        except SpecError:
            raise
        except Exception:
            # A call that a built-in formula does not understand is reported, and never stops the model.
            ops = uncounted(func, args, out)
        records = self.records
        for op in ops:
            records.append((op, phase, module))
        if len(records) >= _FLUSH_AT:
            self.flush()
        return out

    def flush(self) -> None:
        """Hand over what has been written down."""
        records, self.records = self.records, []
        self._flush(records)

    def _begin_step(self, *_: object) -> None:
        self._stepping = True

    def _end_step(self, *_: object) -> None:
        self._stepping = False


if set_code_exec_strategy is not None:
    set_code_exec_strategy(Mode.__torch_dispatch__.__code__, _FrameExecStrategy(_FrameAction.SKIP, _FrameAction.SKIP))


def _is_recomputing() -> bool:
    """Whether a backward pass with gradients on runs a checkpointed forward pass again, rather than double backward.

    torch's checkpoint has its own saved-tensor hooks on while it does, or, in its reentrant form, a node of its own.
    """
    if _top_saved_tensors_default_hooks(True) is not None:
        return True
    return torch._C._current_autograd_node().name() == "CheckpointFunctionBackward"
