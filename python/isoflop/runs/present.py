"""A run store for reading in a notebook: how many runs in which state, what they span, and the last that ended."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

_SPANS = {"N": "parameters without embeddings", "D": "tokens", "C": "FLOPs, 6 N D", "loss": "held-out, nats/token"}
_COLUMNS = ("id", "state", "N", "D", "loss", "ended")
_SHOWN = 5
_ID = 12
_STYLE = "text-align:right;font-variant-numeric:tabular-nums"


def as_html(store: RunStore) -> str:
    """Two small tables; a store without runs is said to have none."""
    held = store.table()
    columns: dict[str, list[Any]] = {
        name: held[name].to_pylist() if name in held.column_names else [None] * held.num_rows
        for name in (*_COLUMNS, *_SPANS)
    }
    states = Counter(columns["state"])
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no runs"
    parts = [f"<p><b>RunStore</b> {escape(store.url)}: {escape(said)}</p>"]
    spans = [(name, present) for name in _SPANS if (present := [x for x in columns[name] if x is not None])]
    if spans:
        rows = [(name, f"{min(of):.4g}", f"{max(of):.4g}", _SPANS[name]) for name, of in spans]
        parts.append(_table(("", "from", "to", ""), rows))
    last = sorted(range(held.num_rows), key=lambda i: columns["ended"][i] or "", reverse=True)[:_SHOWN]
    if last:
        parts.append(_table(_COLUMNS, [[_cell(name, columns[name][i]) for name in _COLUMNS] for i in last]))
        more = held.num_rows - len(last)
        parts.append(f"<p>and {more} more</p>" if more else "")
    return "".join(parts)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "id":
        return str(value)[:_ID]
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _table(headings: tuple[str, ...], rows: list[Any]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    lines = ("".join(f"<td style='{_STYLE}'>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
