"""How answers are shown: a headline, a row a quantity with its interval, and what to know, as text or in a notebook."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoflop.planning.plan import Plan
    from isoflop.planning.settled import Settled

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


def finite(intervals: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """Intervals for JSON, which has no infinity: such an end is None."""
    return {name: [end if math.isfinite(end) else None for end in ends] for name, ends in intervals.items()}


class Shown:
    """An answer that is read in a notebook as it prints."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


class Paged(ABC):
    """An answer that is a page."""

    @property
    @abstractmethod
    def page(self) -> Page:
        """As it is shown."""

    def __str__(self) -> str:
        return str(self.page)

    def _repr_html_(self) -> str:
        return self.page.html


def quantity(symbol: str, value: float, interval: tuple[float, float] | None, meaning: str) -> Row:
    """A row; an interval that is not known is left empty."""
    low, high = (math.nan, math.nan) if interval is None else interval
    return symbol, f"{value:.4g}", "" if math.isnan(low) else f"[{low:.4g}, {high:.4g}]", meaning


def credits(law: str, source: str, n_convention: str, remarks: Iterable[str], warnings: Iterable[str]) -> list[str]:
    """Whose constants an answer rests on, and what to know of it."""
    counted = [f"N counts {n_convention} parameters"] if n_convention else []
    said = ", ".join([f"{law}: {source}", *counted, *remarks])
    return [said, *(f"warning: {warning}" for warning in warnings)]


def record_of(answer: Plan | Settled) -> dict[str, Any]:
    """Plain values for JSON of a training that was planned."""
    return {name: value for name, value in vars(answer).items() if name != "basis"} | {
        "intervals": None if answer.intervals is None else finite(answer.intervals),
        "warnings": list(answer.warnings),
        "shape": None if answer.shape is None else answer.shape.to_dict(),
    }


def page_of(
    answer: Plan | Settled, head: str, labels: Mapping[str, tuple[str, str]], follows: Sequence[str] = ()
) -> Page:
    """The page of a training that was planned.

    Args:
        answer: what was planned.
        head: what was asked.
        labels: symbol and meaning of the fields of ``answer`` that are shown.
        follows: lines of what follows from them.
    """
    intervals = answer.intervals or {}
    rows = [quantity(s, getattr(answer, name), intervals.get(name), m) for name, (s, m) in labels.items()]
    remarks = [] if answer.intervals is None else [f"{answer.level:.0%} intervals"]
    if answer.label and not any(answer.label in warning for warning in answer.warnings):
        remarks.append(answer.label)
    shape = [] if answer.shape is None else str(answer.shape).splitlines()
    warnings = (*answer.warnings, *(() if answer.shape is None else answer.shape.warnings))
    return Page(
        head, rows, [*follows, *shape, *credits(answer.law, answer.source, answer.n_convention, remarks, warnings)]
    )
