"""A logger and a callback for Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from isoflop.adapters.training import Training
from isoflop.errors import SpecError
from isoflop.runs.store import RunStore

_NAMES = {"train_loss": "loss", "train_loss_step": "loss"}


class IsoflopLogger(Logger):
    """Records what Lightning logs: ``Trainer(logger=logger, callbacks=[IsoflopCallback(logger)])``.

    Every ``self.log`` of a module that goes to loggers becomes a point; ``train_loss`` is ``loss``, and ``val_loss``
    gives the result. The callback tells how many steps are
    planned and which error ended the training.

    Args:
        store: where the run is recorded.
        spec: what makes it this run: learning rate, data, seed, ...
        batch_tokens: tokens of an optimizer's step, over all devices.
        seq: tokens of a sequence; None leaves ``C_traced`` out.
        model: the name of the attribute of the module that is the model, where its forward pass takes more than tokens.
        names: what metrics are called here.
    """

    def __init__(
        self,
        store: RunStore,
        spec: Mapping[str, Any],
        *,
        batch_tokens: int,
        seq: int | None = None,
        model: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._training = Training(store, spec, trainer="lightning", names=_NAMES | dict(names or {}))
        self._batch_tokens, self._seq, self._model = batch_tokens, seq, model

    @property
    def name(self) -> str:
        return "isoflop"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def begin(self, module: LightningModule, steps: int) -> None:
        """Open the run; the callback does."""
        model = module if self._model is None else getattr(module, self._model)
        self._training.begin(model, batch_tokens=self._batch_tokens, steps=steps, seq=self._seq)

    @rank_zero_only
    def fail(self, error: BaseException) -> None:
        """Close the run as one that failed; the callback does."""
        self._training.fail(error)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a point; Lightning counts steps from 0, and a point is after its step."""
        numbers = {name: value for name, value in metrics.items() if name != "epoch"}
        self._training.log(0 if step is None else step + 1, numbers)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The spec of the run says what makes it this run."""

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Refuse a training without the callback.

        Raises:
            SpecError: nobody opened the run.
        """
        if not self._training.begun:
            raise SpecError("no run was begun", hint="Trainer(logger=logger, callbacks=[IsoflopCallback(logger)])")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the run."""
        self._training.end()


class IsoflopCallback(Callback):
    """Opens the run of a logger with the steps that are planned, and closes it where an error ends the training."""

    def __init__(self, logger: IsoflopLogger) -> None:
        self._logger = logger

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the run.

        Raises:
            SpecError: the training has no planned end.
        """
        steps = trainer.estimated_stepping_batches
        if steps in (-1, float("inf")):
            raise SpecError("the training has no planned number of steps", hint="Trainer(max_steps=...)")
        self._logger.begin(pl_module, int(steps))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the run as failed, or as interrupted."""
        self._logger.fail(exception)
