"""A study as one small HTML page that needs no network, with the figures beside it as PNG."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from isoflop import __version__
from isoflop.errors import StoreError
from isoflop.report.analysis import Analysis
from isoflop.report.figures import draw
from isoflop.report.tables import LAW_HEADINGS, RUN_HEADINGS, law_row, notes, run_rows

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
figure { margin: 1.2rem 0; } img { max-width: 100%; background: white; } code { white-space: pre-wrap; }
.big { font-size: 1.25rem; } .note { color: #a15c00; }
"""

_CAPTIONS = {
    "curves": "Training loss of every finished run; dots are held-out losses at the end of the learning-rate decay.",
    "fit": "Held-out loss against model size and against tokens with the best joint law. Shaded: beyond the runs.",
    "frontier": "The compute-optimal frontier with its interval, and the plan (star). Shaded: beyond the runs.",
}


def write_report(analysis: Analysis, folder: Path) -> Path:
    """Write ``report.html`` and the figures as PNG into ``folder``; returns the page's path.

    Raises:
        StoreError: the folder cannot be written.
    """
    figures = {name: _png(figure) for name, figure in draw(analysis).items()}
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, png in figures.items():
            (folder / f"{name}.png").write_bytes(png)
        page.write_text(render(analysis, figures), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the report to {folder}: {error.strerror}") from error
    return page


def render(analysis: Analysis, figures: dict[str, bytes]) -> str:
    """The page as text; whatever comes from runs is escaped."""
    plan = analysis.plan
    states = ", ".join(f"{count} {state}" for state, count in sorted(analysis.store.summary().items()))
    command = (
        f"isoflop report {shlex.quote(str(analysis.store.path))} --compute {shlex.quote(f'{plan.compute:.6g} FLOP')}"
    )
    study = escape(analysis.store.path.name)
    sizes = f"N {_range(analysis, 'N')} non-embedding parameters, D {_range(analysis, 'D')} tokens"
    answer = f"N = {plan.n_params:.3g} parameters on D = {plan.n_tokens:.3g} tokens; expect {plan.loss:.3g} nats/token"
    parts = [
        f"<h1>Scaling study: {study}</h1>",
        f"<p>{escape(states)} runs; {sizes}.</p>",
        f"<h2>Plan for {plan.compute:.3g} FLOP</h2>",
        f"<p class=big>Train {answer}.</p>",
        plan._repr_html_(),
        "<h2>Laws</h2>",
        _table(LAW_HEADINGS, (law_row(law) for law in analysis.laws)),
        *(f"<p class=note>{escape(note)}</p>" for note in notes(analysis)),
        *(_figure(_CAPTIONS[name], png) for name, png in figures.items()),
        "<h2>Runs</h2>",
        _table(RUN_HEADINGS, run_rows(analysis.store)),
        f"<h2>Reproduce</h2><p><code>{escape(command)}</code></p>",
        f"<p>isoflop {escape(__version__)}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC</p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{study}</title>'
    body = "".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>'


def _range(analysis: Analysis, name: str) -> str:
    values = analysis.data.columns[name]
    return f"{values.min():.3g} to {values.max():.3g}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in headings)
    body = "".join("<tr>" + "".join(f"<td>{_lines(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _lines(cell: str) -> str:
    return escape(cell).replace("\n", "<br>")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _figure(caption: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
