"""The page that every report is on: one file that needs no network; all that is given to it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
figure { margin: 1.2rem 0; } img { max-width: 100%; background: white; } code { white-space: pre-wrap; }
.big { font-size: 1.25rem; } .note { color: #a15c00; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of ``parts``, which are HTML, under its title."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "".join((f"<h1>{escape(title)}</h1>", *parts))
    return f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>'


def paragraph(text: str, kind: str | None = None) -> str:
    """A paragraph, of the class ``kind`` where given."""
    return f"<p>{escape(text)}</p>" if kind is None else f"<p class={kind}>{escape(text)}</p>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, which scrolls where it is wider than the page; line ends of a cell stay."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in headings)
    body = "".join("<tr>" + "".join(f"<td>{_lines(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _lines(cell: str) -> str:
    return escape(cell).replace("\n", "<br>")
