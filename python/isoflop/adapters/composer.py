"""A logger destination for Composer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from composer.loggers import LoggerDestination

from isoflop.adapters.training import Planned, Training
from isoflop.runs.store import RunStore

_NAMES = {"loss/train/total": "loss", "metrics/eval/LanguageCrossEntropy": "val_loss"}
_OF_THE_STEP_UNDER_WAY = ("loss/train/", "metrics/train/", "lr-")
_OF_THE_TRAINER = ("time/", "trainer/")


class IsoflopLogger(LoggerDestination):  # type: ignore[misc]
    """Records what Composer logs: ``Trainer(loggers=[IsoflopLogger(store, spec, ...)])``.

    ``loss/train/total`` is ``loss``; ``LanguageCrossEntropy`` of an evaluator named "eval" is ``val_loss``. A training
    that is closed before its end has failed.

    Args:
        store: where the run is recorded.
        spec: what makes it this run: learning rate, data, seed, ...
        names: what metrics are called here, besides.
        planned: ``model``, ``batch_tokens``, ``steps`` and ``seq``, as in
            :class:`~isoflop.adapters.training.Planned`.
    """

    def __init__(
        self,
        store: RunStore,
        spec: Mapping[str, Any],
        *,
        names: Mapping[str, str] | None = None,
        **planned: Unpack[Planned],
    ) -> None:
        super().__init__()
        self._training = Training(store, spec, trainer="composer", names=_NAMES | dict(names or {}))
        self._training.begin(**planned)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add points; Composer gives a step under way the number of those before it, and a point is after its step."""
        done = 0 if step is None else step
        here = {name: value for name, value in metrics.items() if not name.startswith(_OF_THE_TRAINER)}
        ahead = {name: value for name, value in here.items() if name.startswith(_OF_THE_STEP_UNDER_WAY)}
        self._training.log(done + 1, ahead)
        self._training.log(done, {name: value for name, value in here.items() if name not in ahead})

    def fit_end(self, state: Any, logger: Any) -> None:
        """Close the run: its result is the last validation loss, or the last training loss."""
        self._training.end()

    def close(self, state: Any, logger: Any) -> None:
        """Close a run that did not come to its end, as failed."""
        self._training.fail(RuntimeError("the trainer was closed before the end of the training"))
