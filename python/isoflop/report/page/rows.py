"""The runs of a store as the page shows them: one pass over the store, then its table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from isoflop.runs import RunStore
from isoflop.runs.finished import end_of
from isoflop.runs.record import RunRecord
from isoflop.runs.studies import runs_by_purpose, scaling_runs

_NAMED = ("N", "D", "C")


@dataclass(frozen=True)
class Row:
    """A run.

    Attributes:
        id, name: of the run; the name is what its spec says, empty without one.
        state, purposes: as the store says; purposes are those of the groups that it was made for.
        n, d, c, loss: at its end, N in parameters, D in tokens, C in FLOPs, loss in nats/token; NaN where unknown.
        loss_se: standard error of the loss.
        seconds: that it took.
        error: why it failed.
        fitted: whether the laws of N and D are fitted to it.
    """

    id: str
    name: str
    state: str
    purposes: str
    n: float
    d: float
    c: float
    loss: float
    loss_se: float
    seconds: float
    error: str
    fitted: bool

    @property
    def label(self) -> str:
        return f"{self.id} {self.name}".strip()


def read_rows(store: RunStore) -> list[Row]:
    """Every run, by size and then tokens."""
    purposes: dict[str, list[str]] = {}
    for purpose, runs in runs_by_purpose(store).items():
        for run in runs:
            purposes.setdefault(run, []).append(purpose)
    scaling = scaling_runs(store)
    rows = [
        _row(store, record, purposes.get(record.id, []), scaling is None or record.id in scaling) for record in store
    ]
    return sorted(rows, key=lambda row: (math.isnan(row.n), row.n, row.d, row.id))


def _row(store: RunStore, record: RunRecord, purposes: Sequence[str], scaling: bool) -> Row:
    counted, result = all(name in record.counts for name in _NAMED), record.result or {}
    finished = record.status == "finished" and bool(result)
    n, d, c = (record.counts.get(name, math.nan) for name in _NAMED)
    if counted and finished:
        n, d, c, _ = end_of(record.counts, result)
    name = record.spec.get("name", "")
    return Row(
        id=record.id, name=name if isinstance(name, str) else "", state=store.state(record),
        purposes=", ".join(purposes), n=n, d=d, c=c, loss=result.get("loss", math.nan),
        loss_se=result.get("loss_se", math.nan), seconds=math.nan if record.seconds is None else record.seconds,
        error=record.error or "", fitted=counted and finished and scaling,
    )  # fmt: skip


_HEADINGS = ("run", "state", "made for", "N", "D", "C, FLOP", "held-out loss", "± s.e.", "seconds")


def table_of_runs(rows: Sequence[Row]) -> str:
    """A row a run; a number's own value is in ``data-value``, by which the page sorts."""
    head = "".join(
        f'<th scope="col"{"" if i < _TEXTS else _NUMBER}>{escape(each)}</th>' for i, each in enumerate(_HEADINGS)
    )
    body = "".join(f"<tr>{''.join(_cells(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_TEXTS = 3
_NUMBER = ' class="number"'


def _cells(row: Row) -> list[str]:
    named = f"{escape(row.id)}<br><small>{escape(row.name)}</small>" if row.name else escape(row.id)
    texts = [f'<td class="id">{named}</td>', *(f"<td>{escape(text)}</td>" for text in (row.state, row.purposes))]
    numbers = (
        (row.n, ".4g"), (row.d, ".4g"), (row.c, ".3g"), (row.loss, ".4f"), (row.loss_se, ".4f"), (row.seconds, ".1f"),
    )  # fmt: skip
    return texts + [_number(value, form) for value, form in numbers]


def _number(value: float, form: str) -> str:
    if not math.isfinite(value):
        return '<td class="number" data-value="NaN"></td>'
    return f'<td class="number" data-value="{value:.6g}">{value:{form}}</td>'
