"""How answers are shown: a headline, a row a quantity with its interval, and what to know, as text or in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

Row = tuple[str, str, str, str]
"""Symbol, value, interval, meaning."""


@dataclass(frozen=True)
class Page:
    """An answer as it is shown.

    Attributes:
        head: what was asked.
        rows: quantities.
        facts: lines below them: what follows, whose constants these are, what to know.
    """

    head: str
    rows: Sequence[Row]
    facts: Sequence[str]

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in self.rows) for i in range(3)]
        lines = [f"  {s:<{widths[0]}}  {v:>{widths[1]}}  {i:<{widths[2]}}  {m}" for s, v, i, m in self.rows]
        return "\n".join([self.head, *lines, *self.facts])

    @property
    def html(self) -> str:
        """The same for notebooks."""
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        below = "<br>".join(escape(line) for line in self.facts)
        return f"<table><caption>{escape(self.head)}</caption>{body}</table><p>{below}</p>"


def quantity(symbol: str, value: float, interval: tuple[float, float] | None, meaning: str) -> Row:
    """A row; an interval that is not known is left empty."""
    low, high = (math.nan, math.nan) if interval is None else interval
    return symbol, f"{value:.4g}", "" if math.isnan(low) else f"[{low:.4g}, {high:.4g}]", meaning


def credits(law: str, source: str, n_convention: str, remarks: Iterable[str], warnings: Iterable[str]) -> list[str]:
    """Whose constants an answer rests on, and what to know of it."""
    counted = [f"N counts {n_convention} parameters"] if n_convention else []
    said = ", ".join([f"{law}: {source}", *counted, *remarks])
    return [said, *(f"warning: {warning}" for warning in warnings)]
