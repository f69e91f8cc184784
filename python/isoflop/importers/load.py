"""Runs of a file, mapped and brought into a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from isoflop.errors import SourceError, SpecError
from isoflop.importers.column_map import check_names, evaluate, expand
from isoflop.importers.formats import format_of
from isoflop.importers.found import Found
from isoflop.importers.gather import HELD_OUT, Meaning, gather
from isoflop.importers.units import count_of_n, nats_per_token
from isoflop.runs.exchange import Exchange, bring
from isoflop.runs.part import HeldRun
from isoflop.runs.store import RunStore
from isoflop.runs.where import select


def import_runs(
    store: RunStore,
    source: str | Path,
    columns: Mapping[str, str],
    *,
    loss_unit: str | None = None,
    bytes_per_token: float | None = None,
    n_convention: str | None = None,
    format: str | None = None,
    name: str | None = None,
    where: object = None,
) -> Exchange:
    """Bring the runs of a file or tracker into ``store``, each once, however often they are imported.

    >>> import_runs(store, "points.csv", {"N": "params", "D": "tokens", "loss": "val loss"},
    ...             n_convention="total", loss_unit="nats/token")

    The names on the left of ``columns``: ``run`` says which run a row is of; ``step`` makes rows points of a run, and
    without it a row is a run; ``N n_params D C U`` are its counts; ``spec.seed`` is a field of its spec (``spec.*`` all
    fields that ``config.*`` has); any other is a number of its points, such as ``tokens``, ``lr``. What it is on the
    right, :mod:`isoflop.importers.column_map` tells. The result is the last ``val_loss``, or ``loss`` where there is
    none; every name with "loss" in it is converted to nats a token. A run whose last loss is not finite is
    ``diverged``, one that its tracker did not end well ``killed``.

    Args:
        store: it gets the runs compacted; what it has stays as it is.
        source: a path, or a tracking URI of MLflow.
        columns: which number is which column.
        loss_unit: of the losses: nats/token, bits/token, nats/byte or bits/byte.
        bytes_per_token: for losses of a byte: how long a token of the held-out text is.
        n_convention: which parameters ``N`` counts: non-embedding, or total, which is the count ``n_params``.
        format: one of ``FORMATS``, where the name of the file does not show it.
        name: what the specs call the source; the file's name where it is not said.
        where: which rows, as for :meth:`isoflop.RunStore.points`, by the columns of the file.

    Raises:
        SpecError: a map that is none, an unsaid convention or unit, no loss.
        SourceError: the source is damaged, lacks a column, or is none that can be read.
        MissingExtra: what reads it is not installed.
        StoreError: another process compacts the store, or the disk refuses.
    """
    path = str(source)
    called, kind = format_of(path, format)
    columns = {**{k: v for k, v in kind.columns.items() if k not in columns}, **columns}
    check_names(columns)
    if not any(loss in columns for loss in HELD_OUT):
        raise SpecError("no column is mapped to the loss", hint="map val_loss or loss: the result of a run is its last")
    meaning = Meaning(
        source=name or Path(path).name,
        count_of_n=count_of_n(n_convention, columns),
        nats_per_token=nats_per_token(loss_unit, bytes_per_token),
        said={"imported_from": called, "loss_unit": str(loss_unit), "imported_at": _now()}
        | ({"n_convention": n_convention} if n_convention else {})
        | ({"bytes_per_token": str(bytes_per_token)} if bytes_per_token else {}),
    )
    problems: list[str] = []
    runs = list(_runs(kind.read(path), columns, meaning, where, problems))
    if not runs and not problems:
        raise SourceError(f"{path} holds no run")
    done = bring(store, sorted(runs, key=lambda run: run.id))
    done.problems[:0] = problems
    return done


def _runs(
    found: Iterator[Found], columns: Mapping[str, str], meaning: Meaning, where: object, problems: list[str]
) -> Iterator[HeldRun]:
    seen: set[str] = set()
    for one in found:
        rows = one if where is None else Found(**{**vars(one), "table": select(one.table, where)})
        if rows.state == "running":
            problems.append(f"run {rows.name}: {rows.why}; import it when it has ended")
        elif rows.table.num_rows:
            for run in gather(rows, evaluate(rows, expand(rows, columns)), meaning, problems):
                if run.id in seen:
                    problems.append(f"run {run.id}: it stands twice, and is taken once")
                else:
                    seen.add(run.id)
                    yield run


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
