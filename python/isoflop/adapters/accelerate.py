"""A tracker for Accelerate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from accelerate.tracking import GeneralTracker, on_main_process

from isoflop.adapters.training import Planned, Training
from isoflop.errors import SpecError
from isoflop.runs.store import RunStore


class IsoflopTracker(GeneralTracker):  # type: ignore[misc]
    """Records what is logged by an ``Accelerator(log_with=IsoflopTracker(store, spec, model=model, ...))``.

    ``accelerator.init_trackers(project, config)`` opens the run, and what ``config`` has joins its spec;
    ``accelerator.log({"loss": loss}, step=step)`` adds a point, ``accelerator.end_training()`` closes it: its result is
    the last ``val_loss``, or ``loss``. Only the main process records.

    Args:
        store: where the run is recorded.
        spec: what makes it this run: learning rate, data, seed, ...
        names: what metrics are called here, such as ``{"train_loss": "loss"}``.
        planned: ``model``, before or after ``accelerator.prepare``, ``batch_tokens``, ``steps`` and ``seq``, as in
            :class:`~isoflop.adapters.training.Planned`.
    """

    name = "isoflop"
    requires_logging_directory = False

    def __init__(
        self,
        store: RunStore,
        spec: Mapping[str, Any],
        *,
        names: Mapping[str, str] | None = None,
        **planned: Unpack[Planned],
    ) -> None:
        super().__init__()
        self._store, self._spec, self._names, self._planned = store, dict(spec), names, planned
        self._training: Training | None = None

    @property
    def tracker(self) -> Training | None:
        """What records."""
        return self._training

    @on_main_process  # type: ignore[untyped-decorator]
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Open the run, with ``values`` in its spec."""
        training = Training(self._store, dict(values) | self._spec, trainer="accelerate", names=self._names)
        model = self._planned["model"]
        training.begin(
            **self._planned | {"model": getattr(model, "module", model)}
        )  # which DistributedDataParallel wraps
        self._training = training

    @on_main_process  # type: ignore[untyped-decorator]
    def log(self, values: Mapping[str, Any], step: int | None = None, **given: Any) -> None:
        """Add a point.

        Raises:
            SpecError: ``step`` is not given.
        """
        if step is None:
            raise SpecError("a point has a step", hint="accelerator.log(values, step=step)")
        if self._training is not None:
            self._training.log(step, values)

    @on_main_process  # type: ignore[untyped-decorator]
    def finish(self) -> None:
        """Close the run."""
        if self._training is not None:
            self._training.end()
