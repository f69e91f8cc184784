"""A benchmark as files: JSON for programs, a page for people; readers never see half of one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from isoflop.benchmark.found import Bench
from isoflop.benchmark.tables import facts, tables
from isoflop.report.html import page, paragraph, table
from isoflop.runs.files import explained, replace_file


def write(made: Bench, folder: Path) -> tuple[Path, Path]:
    """Write ``<device>-<date>.json`` and ``.html`` into ``folder``, which is made; returns their paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    name = re.sub(r"[^a-z0-9]+", "-", f"{made.device} {made.date}".lower()).strip("-")
    paths = folder / f"{name}.json", folder / f"{name}.html"
    with explained("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, content in zip(paths, (json.dumps(made.to_dict(), indent=1) + "\n", render(made)), strict=True):
        with explained("write", path):
            replace_file(path, content.encode())
    return paths


def render(made: Bench) -> str:
    """The page as text."""
    parts = [table(("", ""), facts(made))]
    for each in tables(made):
        parts += [paragraph(each.caption), table(each.headings, each.rows)]
    return page(f"isoflop bench: {made.device}", parts)
