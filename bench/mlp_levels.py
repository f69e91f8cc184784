"""The MLP kernel in levels, docs/kernel-levels.md: each against float64, its arithmetic, and on a GPU its time.

    python bench/mlp_levels.py --device cuda --out mlp-levels.json
    python bench/mlp_levels.py                      checked in Triton's interpreter, not timed
    python bench/mlp_levels.py --chip sm_90         what the compiler makes of each, on a machine with no GPU

Levels are timed in turns, by the GPU's events, medians, with its caches flushed before each call. "least" and "floor"
are arithmetic: each tensor of each launch once, and the time of that at the published rates of the chip.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from isoflop.errors import IsoflopError


class Size(NamedTuple):
    """Models, rows of each, and their width."""

    models: int
    rows: int
    width: int


WIDTHS, MODELS, ROWS = (64, 128, 256), (1, 16), 8192
EDGES = Size(2, 19, 20)  # multiples of no tile


def main() -> None:
    try:
        run()
    except IsoflopError as error:
        raise SystemExit(f"error: {error}") from error


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--width", type=int, action="append", help="d_model; default 64, 128 and 256, on a CPU 20")
    parser.add_argument("--models", type=int, action="append", help="default 1 and 16, on a CPU 2")
    parser.add_argument("--rows", type=int, help=f"of each model; default {ROWS}, on a CPU 19")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing at each size, about")
    parser.add_argument("--chip", help="compile for it instead: registers, shared memory, spills")
    parser.add_argument("--out", type=Path, help="a JSON file, written")
    given = parser.parse_args()
    made = of_compiler(given.chip, given.width or WIDTHS) if given.chip else on_device(given)
    if given.out:
        given.out.write_text(json.dumps(made, indent=1) + "\n")
    if not all(cell.get("passed", True) for cell in made["cells"]):
        raise SystemExit("error: a level is further from float64 than twice plain torch and one rounding")


def on_device(given: argparse.Namespace) -> dict[str, Any]:
    """Check and time; Triton reads whether it interprets when it is imported."""
    gpu = given.device == "cuda"
    if not gpu:
        os.environ["TRITON_INTERPRET"] = "1"
    import torch
    from levels.measured import measure

    from isoflop.benchmark.ceilings import board, published
    from isoflop.benchmark.run import device_of
    from isoflop.benchmark.timing import clock_of
    from isoflop.cli.console import print_table
    from isoflop.hardware import info

    device = device_of(given.device)
    name = torch.cuda.get_device_name(device) if gpu else info().cpu
    dtype = torch.bfloat16 if gpu else torch.float32
    ceilings, clock = published((board(name) if gpu else None) or "h100-sxm"), clock_of(device) if gpu else None
    sizes = [
        (models, given.rows or (ROWS if gpu else EDGES.rows), width)
        for width in given.width or (WIDTHS if gpu else (EDGES.width,))
        for models in given.models or (MODELS if gpu else (EDGES.models,))
    ]
    print(f"{name}; floors of {ceilings.name}, {ceilings.source}")
    if not gpu:
        print("Triton's interpreter, float32: what is right is shown, not what is fast")
    cells: list[dict[str, Any]] = []
    for models, rows, width in [EDGES, *sizes] if gpu else sizes:
        found = [*measure(models, rows, width, dtype, given.device, ceilings, clock, given.seconds)]
        print(f"\nK = {models}, M = {rows}, D = {width}, {found[0].dtype}")
        print_table(HEADINGS, [row(cell, found[0]) for cell in found])
        for cell in found:
            time = None if cell.time is None else cell.time._asdict()
            cells.append(asdict(cell) | {"passed": cell.passed, "time": time})
    command = [Path(each).name for each in sys.argv[1:]]  # and no folder of this machine
    facts = {"device": name, "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "command": command}
    return facts | {"machine": asdict(info()), "floors": ceilings.name, "interpreted": not gpu, "cells": cells}


HEADINGS = ("level", "launches", "least MB", "asked MB", "floor us", "of allowed", "us", "with host", "gain")


def row(cell: Any, first: Any) -> list[str]:
    """A line of the table: error over what is allowed, median times, and how many times faster than ``first``."""
    done = [
        f"{cell.level} {cell.name}", f"{cell.launches}", f"{cell.least_bytes / 1e6:.3g}",
        "-" if cell.asked_bytes is None else f"{cell.asked_bytes / 1e6:.4g}", f"{cell.floor * 1e6:.3g}",
        f"{cell.error / cell.allowed:.2f}{'' if cell.passed else ' FAILED'}",
    ]  # fmt: skip
    if cell.time is None:
        return [*done, "not timed", "-", "-"]
    median, with_host = cell.time.median, cell.time.with_host
    return [*done, f"{median * 1e6:.1f}", f"{with_host * 1e6:.1f}", f"{first.time.median / median:.2f}x"]


def of_compiler(chip: str, widths: tuple[int, ...]) -> dict[str, Any]:
    """What the compiler makes of every kernel of every level."""
    import triton
    from levels.compiled import compiled_levels

    from isoflop.cli.console import print_table

    cells = [asdict(each) for width in widths for each in compiled_levels(chip, width)]
    print(f"Triton {triton.__version__} for {chip}, bfloat16, compiled and not run")
    shown = ("level", "width", "tile", "warps", "registers", "spills", "shared", "programs", "issued", "matrix")
    print_table(shown, [[read(cell | {"tile": tile_of(cell["form"])}, each) for each in shown] for cell in cells])
    print("programs: that a multiprocessor holds; issued: instructions of its warps for each hidden number")
    return {"chip": chip, "triton": triton.__version__, "cells": cells}


def tile_of(form: str) -> str:
    """The sizes of a tile, of all constants of a kernel."""
    given = dict(re.findall(r"(\w+)=(\d+)", form))
    return "x".join(given[name] for name in ("ROWS", "WIDTH", "COLUMNS", "DEPTH", "HIDDEN") if name in given)


def read(cell: dict[str, Any], what: str) -> str:
    """A cell of the compiler's table; instructions by what they are, and of what size."""
    value = cell[what]
    if not isinstance(value, dict):
        return "-" if value is None else str(value)
    named = [(count, *re.match(r"(\w+).*\.(m\d+n\d+k\d+)", name).groups()) for name, count in value.items()]
    return ", ".join(f"{count} {kind} {size}" for count, kind, size in named) or "none"


if __name__ == "__main__":
    main()
