"""The page as a file, alone or in a folder with the figures as PNG."""

from __future__ import annotations

from pathlib import Path

from isoflop.report.analysis import Analysis
from isoflop.report.figures.page_figures import draw
from isoflop.report.page.document import content, document
from isoflop.report.page.rows import read_rows
from isoflop.runs.files import explained, replace_file


def write_page(analysis: Analysis, path: Path) -> Path:
    """Write the page to ``path``, whose folder is made; returns it.

    Raises:
        StoreError: it cannot be written.
    """
    page = document(content(analysis.store, read_rows(analysis.store), analysis)).encode()
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, page)
    return path


def write_report(analysis: Analysis, folder: Path) -> Path:
    """Write ``report.html`` and the figures as PNG into ``folder``; returns the page's path.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = write_page(analysis, folder / "report.html")
    for name, figure in draw(analysis).items():
        with explained("write", folder):
            figure.savefig(folder / f"{name}.png", dpi=130)
    return path
