"""A fit for reading: a compact table, as text or HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from isoflop.errors import FitError
from isoflop.fitting.uncertainty import NORMAL

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

_INTERVALS_UP_TO = 2000
"""Runs beyond which a table takes intervals from the covariance and holds nothing out, so that printing stays quick."""

_ROBUST = "sandwich"
_UNEQUAL = 1.5
"""Robust standard errors over plain ones from which a table says so."""

_EXCLUDED_SHOWN = 6

_STYLE = "text-align:right;font-variant-numeric:tabular-nums"


def rows(fit: Fit) -> list[tuple[str, str, str, str]]:
    """Parameter, value, standard error and interval, as text."""
    table = []
    for name in fit.law.names:
        error = fit.standard_errors[name]
        fixed = name in fit.constraints.fix
        shown = "fixed" if fixed else f"{error:.2g}" if math.isfinite(error) else "at bound"
        interval = ""
        if not fixed and (_quick(fit) or math.isfinite(error)):
            low, high = fit.interval(name, kind=_kind(fit))
            interval = f"[{low:.4g}, {high:.4g}]"
        table.append((name, f"{fit.params[name]:.5g}", shown, interval))
    return table


def facts(fit: Fit) -> list[str]:
    """What was fitted, how well and how surely, checked on runs held out; then what a reader must know."""
    certificate = fit.certificate
    all_agree = certificate.hit_rate == 1
    agree = f"all {certificate.starts}" if all_agree else f"{certificate.hit_rate:.0%} of {certificate.starts}"
    others = "" if all_agree else f", the others end up to {certificate.spread:.2g} of the objective above"
    agreed = "1 start" if certificate.starts == 1 else f"{agree} starts agree{others}"
    sure = f"{agreed}, condition {certificate.condition:.2g}"
    lines = [
        f"{_counted(fit)}, {fit.criterion}, objective {fit.objective:.6g}, residual {_residual(fit)} rms",
        f"{sure}, gradient {certificate.gradient:.1g}",
    ]
    if _kind(fit) == _ROBUST:
        lines += [f"intervals: {fit.level:.0%} by standard errors between clusters"]
    else:
        lines += [f"intervals: {fit.level:.0%} of {fit.bootstrap(kind=_kind(fit))}"]
    lines += _unequal(fit)
    if fit.n_runs <= _INTERVALS_UP_TO:
        lines += [held_out(fit)]
    lines += [f"note: {note}" for note in fit.notes]
    if fit.excluded:
        more = len(fit.excluded) - _EXCLUDED_SHOWN
        shown = "; ".join(fit.excluded[:_EXCLUDED_SHOWN])
        lines.append(f"left out: {shown}{f'; and {more} more' if more > 0 else ''}")
    lines.append(f"data: {fit.data.source or 'columns'}, sha256 {fit.data.fingerprint()[:12]}")
    return lines


def _quick(fit: Fit) -> bool:
    return fit.n_runs <= _INTERVALS_UP_TO or fit.of_points is not None


def _kind(fit: Fit) -> str:
    """Of the intervals in the table: without a refit where there are many runs."""
    if _quick(fit):
        return fit.default_kind
    return NORMAL if fit.data.cluster is None else _ROBUST


def _unequal(fit: Fit) -> list[str]:
    """That the runs differ in noise, where standard errors that take it for one are much too small."""
    data = fit.data
    said = any(given is not None for given in (fit.of_points, data.cluster, data.weights, data.sigma))
    if said or fit.n_runs > _INTERVALS_UP_TO:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(np.diag(fit.covariance(_ROBUST)) / np.diag(fit.covariance()))
    worst = np.max(ratio, where=np.isfinite(ratio), initial=0.0)
    if worst < _UNEQUAL:
        return []
    more = f"robust ones, fit.covariance({_ROBUST!r}), are up to {worst:.1f} times as large"
    return [f"standard errors take all runs for equally noisy; {more}"]


def _counted(fit: Fit) -> str:
    """Runs in memory, or points of a store."""
    passes = fit.certificate.passes
    return f"{fit.n_runs:,} points in {passes} pass{'' if passes == 1 else 'es'}" if passes else f"{fit.n_runs} runs"


def held_out(fit: Fit, by: str | None = None) -> str:
    """The largest runs predicted without them, or why that cannot be."""
    try:
        return str(fit.holdout(by))
    except FitError as error:
        return f"not checked on held-out runs: {error.message}"


def _residual(fit: Fit) -> str:
    """Logarithms as percents, except in units of a known noise."""
    if fit.data.sigma is not None:
        return f"{fit.residual_rms:.3g} sigma"
    return f"{fit.residual_rms:.2%}" if fit.criterion.log else f"{fit.residual_rms:.3g}"


def _table(fit: Fit) -> list[tuple[str, ...]]:
    return [("", "value", "std. error", f"{fit.level:.0%} interval"), *rows(fit)]


def as_text(fit: Fit) -> str:
    """The table as text, at most a few lines wide."""
    named = "" if fit.law.name == fit.law.formula else f"{fit.law.name}: "
    return "\n".join([f"{named}{fit.law.formula}", text_table(_table(fit)), *facts(fit)])


def as_html(fit: Fit) -> str:
    """The table as HTML."""
    named = "" if fit.law.name == fit.law.formula else f"{escape(fit.law.name)}: "
    caption = f"{named}<code>{escape(fit.law.formula)}</code>"
    return html_table(_table(fit), caption=caption, below=facts(fit))


def text_table(table: Sequence[Sequence[str]], left: int | None = None) -> str:
    """Headings and rows in columns, flush right but for column ``left``."""
    columns = []
    for i, column in enumerate(zip(*table, strict=True)):
        width = max(map(len, column))
        columns.append([cell.ljust(width) if i == left else cell.rjust(width) for cell in column])
    lines = ["  ".join(row) for row in zip(*columns, strict=True)]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def html_table(table: Sequence[Sequence[str]], *, caption: str = "", below: Iterable[str] = ()) -> str:
    """Headings and rows as an HTML table with lines of text below it; the caption is HTML already."""
    head = "".join(f'<th style="{_STYLE}">{escape(cell)}</th>' for cell in table[0])
    body = "".join(
        "<tr>" + "".join(f'<td style="{_STYLE}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in table[1:]
    )
    titled = f"<caption>{caption}</caption>" if caption else ""
    lines = "<br>".join(escape(line) for line in below)
    after = f"<p>{lines}</p>" if lines else ""
    return f"<table>{titled}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{after}"
