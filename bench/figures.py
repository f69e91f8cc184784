"""How long all figures of a store take to draw and to write: python bench/figures.py [STORE]."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from isoflop.report.figures import draw_figures, save_figure
from isoflop.runs import RunStore


def main(url: str = "examples/results/kaplan-mini") -> None:
    """Print the seconds of each figure, and of all."""
    store, begin = RunStore(url, create=False), time.perf_counter()
    with TemporaryDirectory() as folder:
        before = begin
        for drawn in draw_figures(store):
            if drawn.figure is not None:
                save_figure(drawn.figure, Path(folder) / f"{drawn.entry.name}.png")
            now = time.perf_counter()
            print(f"{drawn.entry.name:13} {now - before:6.2f} s" + ("" if drawn.figure else "  not drawn"))
            before = now
    print(f"{'all':13} {time.perf_counter() - begin:6.2f} s, {len(store.ids())} runs")


if __name__ == "__main__":
    main(*sys.argv[1:])
