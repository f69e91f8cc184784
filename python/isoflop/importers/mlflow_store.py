"""MLflow's runs, through its own client: a database, a server or a folder, whatever a tracking URI names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from isoflop.errors import SourceError, require
from isoflop.importers.found import Found, by_step

_SQLITE = "sqlite:///"
_ENDS: dict[str, Literal["finished", "killed", "running"]] = {
    "FINISHED": "finished", "FAILED": "killed", "KILLED": "killed", "RUNNING": "running", "SCHEDULED": "running",
}  # fmt: skip


def read(source: str) -> Iterator[Found]:
    """The runs of every active experiment at a tracking URI, such as ``sqlite:///mlflow.db``.

    Metrics are columns, ``step`` their step, whole histories; the fields are ``params.lr``, ``tags.host``,
    ``experiment`` and ``run_name``.

    Raises:
        SourceError: MLflow cannot read it.
        MissingExtra: mlflow is not installed.
    """
    mlflow = require("mlflow", extra="trackers")
    if source.endswith("mlflow.db") and "://" not in source:
        source = _SQLITE + source
    if source.startswith(_SQLITE) and not Path(source.removeprefix(_SQLITE)).is_file():  # MLflow would make one
        raise SourceError(f"there is no database at {source}")
    try:
        client = mlflow.MlflowClient(tracking_uri=source)
        for experiment in _pages(client.search_experiments):
            for run in _pages(client.search_runs, [experiment.experiment_id]):
                yield _run(client, run, experiment.name)
    except Exception as error:  # of MLflow, of its database's driver, or of its server
        raise SourceError(f"MLflow cannot read {source}: {error}") from error


def _run(client: Any, run: Any, experiment: str) -> Found:
    series = {
        name: [(float(metric.step), metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
    fields = (
        {f"params.{name}": _number_or_word(value) for name, value in run.data.params.items()}
        | {f"tags.{name}": _number_or_word(value) for name, value in tags.items()}
        | {"experiment": experiment, "run_name": run.info.run_name}
    )
    began, ended = run.info.start_time, run.info.end_time
    started = None if began is None else datetime.fromtimestamp(began / 1e3, UTC).isoformat()
    seconds = None if began is None or ended is None else (ended - began) / 1e3
    state = _ENDS.get(run.info.status, "running")
    why = None if state == "finished" else f"MLflow: {run.info.status}"
    return Found(run.info.run_id, by_step(series), fields, state, why, started, seconds)


def _pages(search: Any, *of: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(*of, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _number_or_word(text: str) -> float | str:
    """MLflow keeps parameters as words."""
    try:
        return float(text)
    except ValueError:
        return text
