"""docs/kernel-levels.md says what its files, its result and the compiler say."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
from levels.compiled import compiled_levels
from levels.loops import issued, programs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "kernel-levels.md").read_text()
WIDTHS, MODELS = (64, 128, 256), (1, 16)
QUOTED = re.findall(r"^`(\w+\.py)`.*?^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The table under ``heading``, without its headings."""
    _, _, under = PAGE.partition(f"\n## {heading}\n")
    lines = [line for line in under.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def cells() -> dict[tuple[int, int, int], Any]:
    """Of the result, by level, models and width."""
    (file,) = re.findall(r"`(bench/results/levels/.*\.json)`", PAGE)
    found = json.loads((ROOT / file).read_text())["cells"]
    return {(each["level"], each["models"], each["width"]): each for each in found if each["rows"] == 8192}


def test_the_page_quotes_the_files_of_every_level() -> None:
    assert len(QUOTED) == 8
    for file, code in QUOTED:
        assert code in (ROOT / "bench" / "levels" / file).read_text(), file


def test_the_times_of_the_page_are_those_of_the_result_and_every_level_was_right() -> None:
    found, shown = cells(), rows("Measured")
    assert all(each["passed"] for each in found.values())
    for level, row in enumerate(shown, 1):
        times = [found[level, models, width]["time"]["median"] for models in MODELS for width in WIDTHS]
        assert row == [f"{level} {found[level, 1, 64]['name']}", *(f"{1e6 * time:.0f}" for time in times)]
    assert len(shown) == 8


def test_the_arithmetic_of_the_page_is_that_of_the_result() -> None:
    found, shown = cells(), rows("Arithmetic")
    for level, row in enumerate(shown, 1):
        of_level = [found[level, 16, width] for width in WIDTHS]
        said = [float("nan") if cell == "-" else float(cell) for cell in row[2:]]
        exact = [
            float("nan") if (value := each[what]) is None else value * 1e6**sign
            for what, sign in (("least_bytes", -1), ("asked_bytes", -1), ("floor", 1))
            for each in of_level
        ]
        assert row[1] == str(of_level[0]["launches"])
        assert said == pytest.approx(exact, rel=6e-3, nan_ok=True)
    assert len(shown) == 8


@pytest.mark.parametrize("width", WIDTHS)
def test_the_shipped_tile_of_sm_90_compiles_to_what_level_seven_does(width: int) -> None:
    seventh, shipped, _ = compiled_levels("sm_90", width, (7, 8))
    assert (shipped.warps, shipped.spills, shipped.shared) == (seventh.warps, 0, seventh.shared)
    assert shipped.matrix == seventh.matrix
    assert shipped.registers <= seventh.registers + 8
    assert shipped.issued == pytest.approx(seventh.issued, rel=0.04)


def test_programs_of_a_multiprocessor_end_with_its_registers_or_its_shared_memory() -> None:
    assert programs(149, 4, 1024, 227 * 1024) == 65536 // (152 * 128) == 3
    assert programs(8, 4, 56 * 1024, 227 * 1024) == 4
    assert issued(387, 4, 32, 32) == 387 / 256
