"""One training of another trainer: what its model is, what it logs, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NotRequired, TypedDict

from isoflop.adapters.parameters import count_parameters, shape_of
from isoflop.errors import SpecError
from isoflop.runs.buffer import kept
from isoflop.runs.rank import rank_of_process
from isoflop.runs.recorder import Recorder
from isoflop.runs.store import RunStore
from isoflop.tracing.meta import trace_meta


class Planned(TypedDict):
    """What a trainer does not tell of a training, and its user says.

    Attributes:
        model: the torch module that is trained, whole: as it is before it is split among processes.
        batch_tokens: tokens of an optimizer's step, over all processes.
        steps: how many are planned.
        seq: tokens of a sequence; None leaves ``C_traced`` out.
    """

    model: Any
    batch_tokens: int
    steps: int
    seq: NotRequired[int | None]


_HELD_OUT = ("val_loss", "loss")
_TAKEN = ("step", "tokens", "run")


class Training:
    """A run of a store that a trainer of others makes; losses are in nats/token, as cross-entropies of torch are.

    The run's spec is ``spec``, the trainer's name, what a step is, and the shape in the model's configuration. Its
    counts are N, ``n_params``, ``n_embedding`` and ``n_unembedding`` of the model itself, D = ``steps`` times
    ``batch_tokens``, C = 6 N D, and ``C_traced``: the FLOPs of the matrix products of D tokens, forward and backward,
    over the pairs that causal masks keep, counted by tracing the model on ``seq`` tokens. The record says which modules
    N leaves out, and why there is no ``C_traced`` where a model cannot be traced.

    Args:
        store: where the run is recorded.
        spec: what makes it this run: learning rate, data, seed, ...
        trainer: the name of the library.
        names: what its metrics are called here; others keep their names.
        rank: of the process that records: the one that has the losses.
    """

    def __init__(
        self,
        store: RunStore,
        spec: Mapping[str, Any],
        *,
        trainer: str,
        names: Mapping[str, str] | None = None,
        rank: int = 0,
    ) -> None:
        self._rank = rank
        self._store, self._spec, self._trainer, self._names = store, dict(spec), trainer, dict(names or {})
        self._stack = ExitStack()
        self._recorder: Recorder | None = None
        self._last: dict[str, Any] = {}
        self._tokens = 0.0
        self._batch_tokens = 0

    @property
    def begun(self) -> bool:
        """Whether a run is being recorded."""
        return self._recorder is not None

    def begin(self, model: Any, *, batch_tokens: int, steps: int, seq: int | None = None) -> None:
        """Open the run, of what is :class:`Planned`.

        Raises:
            SpecError: a number of tokens or steps that is not positive.
            RunTaken: this very run was recorded already, or is being so.
            StoreError: the disk refuses.
        """
        if min(batch_tokens, steps, 1 if seq is None else seq) < 1:
            raise SpecError(f"batch_tokens = {batch_tokens}, steps = {steps}, seq = {seq} must be positive")
        parameters = count_parameters(model)
        tokens = float(batch_tokens) * steps
        counts = parameters.counts() | {"D": tokens, "C": 6.0 * parameters.nonembedding * tokens}
        said = {"trainer": self._trainer, "loss_unit": "nats/token", "n_convention": "non-embedding"}
        said["N leaves out"] = ", ".join(parameters.tables)
        if seq is not None:
            try:
                counts["C_traced"] = flops_of_a_sequence(model, seq) / seq * tokens
            except Exception as error:  # any that a model's own forward pass raises on the shapes it is given
                said["C_traced"] = f"not counted: {type(error).__name__}: {error}"[:500]
        planned = {"trainer": self._trainer, "batch_tokens": batch_tokens, "steps": steps}
        shape = {"shape": found} if (found := shape_of(model)) else {}
        rank = abs(rank_of_process() - self._rank)
        recorder = Recorder(self._store, planned | shape | self._spec, counts=counts, environment=said, rank=rank)
        self._recorder = self._stack.enter_context(recorder)
        self._batch_tokens = batch_tokens

    def log(self, step: int, values: Mapping[str, Any], *, tokens: float | None = None) -> None:
        """Add a point of the numbers among ``values``; ``tokens`` are those so far, where steps do not tell."""
        if self._recorder is None:
            return
        numbers = {self._names.get(name, name): value for name, value in values.items() if _is_number(value)}
        numbers = {name: value for name, value in numbers.items() if name not in _TAKEN}
        if not numbers:
            return
        self._tokens = float(step * self._batch_tokens if tokens is None else tokens)
        self._last |= {name: kept(numbers[name]) for name in _HELD_OUT if name in numbers}
        self._recorder.log(step, tokens=self._tokens, **numbers)

    def end(self) -> None:
        """Close the run: its result is the last ``val_loss``, or the last ``loss`` where none was logged."""
        if self._recorder is None:
            return
        for name in _HELD_OUT:
            if name in self._last:
                self._recorder.finish(loss=self._last[name], tokens=self._tokens)
                break
        self._recorder = None
        self._stack.close()

    def fail(self, error: BaseException) -> None:
        """Close the run as one that ``error`` ended: failed, or interrupted where a person did."""
        if self._recorder is not None:
            self._recorder = None
            self._stack.__exit__(type(error), error, error.__traceback__)


def flops_of_a_sequence(model: Any, seq: int) -> float:
    """FLOPs of the matrix products of one sequence, forward and backward, over the pairs that causal masks keep."""
    traced = trace_meta(model, ("int64", 1, seq), backward=True)
    return traced.forward.kept + traced.backward.kept


def _is_number(value: Any) -> bool:
    """A number, or a tensor that holds one."""
    if isinstance(value, bool | str):
        return False
    return isinstance(value, int | float) or getattr(value, "ndim", None) == 0
