"""A callback for the Trainer of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from isoflop.adapters.training import Training
from isoflop.runs.store import RunStore

_NAMES = {"learning_rate": "lr", "eval_loss": "val_loss"}
_LEFT_OUT = ("epoch", "total_flos", "num_input_tokens_seen")
_SPEC = ("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "max_grad_norm", "seed")
"""Training arguments that make a run this run."""


class IsoflopCallback(TrainerCallback):
    """Records a training: ``transformers.Trainer(..., callbacks=[IsoflopCallback(store, spec, seq=1024)])``.

    Every log becomes a point (``learning_rate`` is ``lr``, ``eval_loss`` ``val_loss``), evaluations during training
    give the result. Tokens are those that the Trainer counts (``include_num_input_tokens_seen``), else sequences times
    ``seq``. Only the first process records. A training that an error ends is left interrupted, and is made again.

    Args:
        store: where the run is recorded.
        spec: what the training arguments do not tell, such as the data.
        seq: tokens of a sequence.
    """

    def __init__(self, store: RunStore, spec: Mapping[str, Any] | None = None, *, seq: int) -> None:
        self._store, self._given, self._seq = store, dict(spec or {}), seq
        self._training: Training | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Open the run."""
        if not state.is_world_process_zero:
            return
        sequences = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        said = {name: _plain(getattr(args, name)) for name in _SPEC if hasattr(args, name)}
        training = Training(self._store, said | self._given, trainer="transformers", names=_NAMES)
        with _with_a_cache(given["model"]):
            training.begin(given["model"], batch_tokens=sequences * self._seq, steps=state.max_steps, seq=self._seq)
        self._training = training

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> None:
        """Add a point; the summary that the Trainer logs at the end is none."""
        if self._training is None or logs is None or "train_runtime" in logs:
            return
        seen = float(state.num_input_tokens_seen) or None
        numbers = {name: value for name, value in logs.items() if name not in _LEFT_OUT}
        self._training.log(state.global_step, numbers, tokens=seen)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Close the run."""
        if self._training is not None:
            self._training.end()
            self._training = None


@contextmanager
def _with_a_cache(model: Any) -> Iterator[None]:
    """Without one, models look for documents packed in a sequence by the values of positions, which a trace lacks."""
    config: Any = getattr(model, "config", None)
    before = getattr(config, "use_cache", None)
    if before is not None:
        config.use_cache = True
    try:
        yield
    finally:
        if before is not None:
            config.use_cache = before


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)
