"""A study as one small HTML page that needs no network, with the figures beside it as PNG."""

from __future__ import annotations

import base64
import io
import shlex
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from isoflop import __version__
from isoflop.errors import StoreError
from isoflop.report.analysis import Analysis
from isoflop.report.figures.page_figures import draw
from isoflop.report.html import page, paragraph, table
from isoflop.report.tables import FINDING_HEADINGS, LAW_HEADINGS, RUN_HEADINGS, finding_row, law_row, notes, run_rows

_CAPTIONS = {
    "curves": "Training loss of every finished run; dots are held-out losses at the end of the learning-rate decay.",
    "fit": "Held-out loss against model size and against tokens with the best joint law. Shaded: beyond the runs.",
    "frontier": "The compute-optimal frontier with its interval, and the plan (star). Shaded: beyond the runs.",
    "batch": "Steps against tokens to reach a loss, and the critical batch size of each loss.",
    "steps": "Held-out loss along training against batch-adjusted steps, with L(N, S_min). Shaded: beyond the runs.",
    "shape": "Loss of each shape over that of the best shape of its size, less 1; bars: seeds.",
    "isoflop": "Losses of each budget over N with their minima, and the best N and D of each budget.",
}


def write_report(analysis: Analysis, folder: Path) -> Path:
    """Write ``report.html`` and the figures as PNG into ``folder``; returns the page's path.

    Raises:
        StoreError: the folder cannot be written.
    """
    figures = {name: _png(figure) for name, figure in draw(analysis).items()}
    path = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, png in figures.items():
            (folder / f"{name}.png").write_bytes(png)
        path.write_text(render(analysis, figures), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the report to {folder}: {error.strerror}") from error
    return path


def render(analysis: Analysis, figures: dict[str, bytes]) -> str:
    """The page as text; whatever comes from runs is escaped."""
    plan = analysis.plan
    states = ", ".join(f"{count} {state}" for state, count in sorted(analysis.store.summary().items()))
    command = f"isoflop report {shlex.quote(analysis.store.url)} --compute {shlex.quote(f'{plan.compute:.6g} FLOP')}"
    sizes = f"N {_range(analysis, 'N')} non-embedding parameters, D {_range(analysis, 'D')} tokens"
    answer = f"N = {plan.n_params:.3g} parameters on D = {plan.n_tokens:.3g} tokens; expect {plan.loss:.3g} nats/token"
    parts = [
        paragraph(f"{states} runs; {sizes}."),
        f"<h2>Plan for {plan.compute:.3g} FLOP</h2>",
        paragraph(f"Train {answer}.", "big"),
        plan._repr_html_(),
        "<h2>Laws</h2>",
        table(LAW_HEADINGS, (law_row(law) for law in analysis.laws)),
        *_findings(analysis),
        *(paragraph(note, "note") for note in notes(analysis)),
        *(_figure(_CAPTIONS[name], png) for name, png in figures.items()),
        "<h2>Runs</h2>",
        table(RUN_HEADINGS, run_rows(analysis.store)),
        f"<h2>Reproduce</h2><p><code>{escape(command)}</code></p>",
        paragraph(f"isoflop {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
    ]
    return page(f"Scaling study: {analysis.store.url.rpartition('/')[2]}", parts)


def _findings(analysis: Analysis) -> list[str]:
    if not analysis.findings:
        return []
    return ["<h2>Findings</h2>", table(FINDING_HEADINGS, map(finding_row, analysis.findings))]


def _range(analysis: Analysis, name: str) -> str:
    values = analysis.data.columns[name]
    return f"{values.min():.3g} to {values.max():.3g}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _figure(caption: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
