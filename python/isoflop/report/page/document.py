"""The page as one text: its template, style and scripts with what a study says."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from isoflop import __version__
from isoflop.report.analysis import Analysis
from isoflop.report.page.charts import charts
from isoflop.report.page.embedded import planner, to_script
from isoflop.report.page.rows import Row
from isoflop.report.page.sections import sections
from isoflop.runs import RunStore

_SCRIPTS = ("planner.js", "panel.js", "charts.js", "runs.js", "start.js")


@dataclass(frozen=True)
class Content:
    """What the page says: HTML by the id of its place, and the numbers that its scripts draw and plan with."""

    title: str
    sections: Mapping[str, str]
    data: Mapping[str, Any]


def content(store: RunStore, rows: Sequence[Row], analysis: Analysis | None, unfitted: str = "") -> Content:
    """Of a store and its runs; without an analysis ``unfitted`` says why, and there is nothing to plan with."""
    data: dict[str, Any] = {"planner": None, "figures": []}
    if analysis is not None:
        data = {"planner": planner(analysis), "figures": charts(analysis, rows)}
    title = f"Scaling study: {store.url.rstrip('/').rpartition('/')[2]}"
    return Content(title, sections(store, rows, analysis, unfitted), data)


def document(said: Content, version: int | None = None) -> str:
    """The whole page; ``version`` is that of its content where it is served and asks for news."""
    scripts = [_read(name) for name in _SCRIPTS]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    asks = "'none'" if version is None else "'self'"
    policy = (
        f"default-src 'none'; script-src blob: {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {asks}; base-uri 'none'; form-action 'none'"
    )
    return Template(_read("template.html")).substitute(
        said.sections,
        policy=policy,
        title=escape(said.title),
        style=_read("page.css"),
        planner_hidden="hidden" if said.data["planner"] is None else "",
        footer=escape(f"isoflop {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        data=to_script({**said.data, "version": version}),
        plotly=_plotly(),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _read(name: str) -> str:
    return (files("isoflop.report.page") / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _plotly() -> str:
    """Plotly's script, compressed as browsers unpack it: 2 MB of a page instead of 5."""
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), 9, mtime=0)
    return base64.b64encode(packed).decode()
