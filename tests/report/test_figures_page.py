"""The page on figures lists those that there are."""

from __future__ import annotations

import re
from pathlib import Path

from isoflop.report.figures import FIGURES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")


def test_the_page_lists_every_figure_with_what_it_needs_and_its_functions() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows == [
        [f"`{entry.name}`", entry.title, entry.needs, ", ".join(f"`{panel.__name__}`" for panel in entry.panels)]
        for entry in FIGURES.values()
    ]


def test_its_images_are_there_and_small() -> None:
    images = re.findall(r"\(images/(.*?)\)", PAGE)
    assert images
    for image in images:
        assert (ROOT / "docs" / "images" / image).stat().st_size <= 102_400
