"""A logger for torchtitan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from torchtitan.components.metrics import BaseLogger, LoggerContainer

from isoflop.adapters.training import Planned, Training
from isoflop.runs.store import RunStore

_NAMES = {
    "loss_metrics/global_avg_loss": "loss",
    "loss_metrics/global_max_loss": "max_loss",
    "validation_metrics/loss": "val_loss",
    "throughput(tps)": "tokens_per_second",
    "mfu(%)": "mfu_percent",
}


class IsoflopLogger(BaseLogger):  # type: ignore[misc]
    """Records what torchtitan logs: losses, gradient norm, throughput, memory.

    :func:`attach` puts one beside the loggers of a metrics processor, on every process.

    Args:
        store: where the run is recorded.
        spec: what makes it this run: learning rate, data, seed, ...
        rank: of the process that has the losses and records them: of a pipeline the first of the last stage.
        planned: ``model``, ``batch_tokens`` (global batch size times ``seq_len``), ``steps`` and ``seq``, as in
            :class:`~isoflop.adapters.training.Planned`.
    """

    def __init__(self, store: RunStore, spec: Mapping[str, Any], *, rank: int = 0, **planned: Unpack[Planned]) -> None:
        self._training = Training(store, spec, trainer="torchtitan", names=_NAMES, rank=rank)
        self._training.begin(**planned)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Add a point."""
        self._training.log(step, metrics)

    def close(self) -> None:
        """Close the run: its result is the last validation loss, or the last training loss."""
        self._training.end()


def attach(logger: IsoflopLogger, processor: Any) -> None:
    """Give ``logger`` all that a ``MetricsProcessor`` logs from now on, beside those that it has."""
    both = LoggerContainer()
    for each in (processor.logger, logger):
        both.add_logger(each)
    processor.logger = both
