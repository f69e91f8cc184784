"""Tiles, tuned by a clock that is made up: what is tried, what is kept, what is written."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")

import torch

from isoflop.benchmark import tiles, tune
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.tables import tuning_table
from isoflop.benchmark.targets import TARGETS
from isoflop.benchmark.tune import candidates
from isoflop.errors import KernelError
from isoflop.kernels.configurations import Configuration, configuration, entries, ops

UNTUNED = {"partial"}  # part of every backward pass, and the time of none
BEST = {"rows": 32, "columns": 128, "depth": 64, "warps": 8, "stages": 4}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOFLOP_CONFIGURATIONS", str(tmp_path))
    return tmp_path


def far_from_best(table: str, row: Configuration, size: Size) -> float | str:
    """A second, and more the further a tile is from the best one; tiles of 16 warps do not compile."""
    if row["warps"] == 16:
        return "OutOfResources: too many threads"
    return 1.0 + sum(abs(value / BEST[name] - 1) for name, value in row.items())


def chosen(table: str, width: int, chip: str | None = "sm_90") -> dict[str, int]:
    return dict(configuration(table, width=width, dtype=torch.bfloat16, chip=chip))


def test_the_fastest_tile_is_found_written_and_read(own: Path) -> None:
    before = chosen("linear", 256, "sm_80")
    made = tune(["linear"], chip="sm_90", measure=far_from_best)
    assert made.written == [own / "linear.toml"]
    assert [chosen("linear", width) for width in (64, 256, 1024)] == [BEST] * 3
    assert chosen("linear", 256, "sm_80") == before
    assert all(row.changed and row.after_seconds == 1.0 < row.before_seconds for row in made.rows)
    assert all(why == "OutOfResources: too many threads" for row in made.rows for _, why in row.refused)


def test_a_tuned_row_serves_its_chip_and_16_bits_up_to_its_width(own: Path) -> None:
    tune(["linear"], chip="sm_90", measure=far_from_best)
    rows = tomllib.loads((own / "linear.toml").read_text())["entry"]
    served = [(row["chip"], row["bits"], row["width"]) for row in rows]
    assert served == [("sm_90", 16, width) for width in (64, 256, 1024)]


def test_tiles_that_are_no_faster_change_nothing(own: Path) -> None:
    made = tune(["norm"], chip="sm_90", measure=lambda table, row, size: 1.0)
    assert made.written == []
    assert [*own.iterdir()] == []
    assert not any(row.changed for row in made.rows)


def test_a_tile_that_was_fast_by_luck_is_not_kept(own: Path) -> None:
    calls: Counter[tuple[object, ...]] = Counter()

    def lucky(table: str, row: Configuration, size: Size) -> float:
        key = (size, *sorted(row.items()))
        calls[key] += 1
        return 0.5 if row["warps"] == 1 and calls[key] == 1 else 1.0

    assert tune(["norm"], chip="sm_90", measure=lucky).written == []


def test_a_wrong_tile_is_never_chosen(own: Path) -> None:
    made = tune(["norm"], chip="sm_90", measure=lambda table, row, size: "wrong" if row["warps"] != 4 else 1.0)
    assert made.written == []
    assert all(row.refused for row in made.rows)


def test_rows_of_other_chips_and_widths_stay(own: Path) -> None:
    old = "[[entry]]\nchip = 'gfx942'\nwidth = 32\nrows = 2\ncolumns = 32\nwarps = 2\n"
    (own / "norm.toml").write_text(old)
    row = Configuration({"rows": 4, "columns": 64, "warps": 1}, "sm_90", 16, 64)
    for warps in (1, 2):
        tiles.keep("norm", [Configuration({**row, "warps": warps}, row.chip, row.bits, row.width)])
    assert len(entries("norm", own)) == 2
    assert chosen("norm", 64) == {"rows": 4, "columns": 64, "warps": 2}
    assert chosen("norm", 32, "gfx942") == {"rows": 2, "columns": 32, "warps": 2}


def test_what_there_is_no_time_to_try_is_named(own: Path) -> None:
    made = tune(["norm", "adamw"], chip="sm_90", measure=far_from_best, limit=1e-3)
    assert made.rows == made.written == []
    assert any(each.what.startswith("adamw at 1 x 8 x 1024 x 1024: ") for each in made.skipped)


def test_a_trial_leaves_no_trace(own: Path) -> None:
    (own / "norm.toml").write_text("[[entry]]\nchip = 'sm_80'\nrows = 2\ncolumns = 32\nwarps = 2\n")
    before = chosen("norm", 64), chosen("norm", 64, "sm_80")
    tried = Configuration({"rows": 1, "columns": 32, "warps": 1}, "sm_90", 16, 64)
    with tiles.tried("norm", tried):
        assert chosen("norm", 64) == {"rows": 1, "columns": 32, "warps": 1}
        assert chosen("norm", 64, "sm_80") == before[1]
    with pytest.raises(ZeroDivisionError), tiles.tried("norm", tried):
        1 / 0  # noqa: B018
    assert os.environ["ISOFLOP_CONFIGURATIONS"] == str(own)
    assert (chosen("norm", 64), chosen("norm", 64, "sm_80")) == before


def test_neighbours_double_and_halve_and_step_stages() -> None:
    row = Configuration({"rows": 1, "warps": 16, "stages": 2, "sdpa_past": 128}, "sm_90", 16, 64)
    found = [{name: value for name, value in each.items() if value != row[name]} for each in candidates(row)]
    assert found == [{"rows": 2}, {"warps": 8}, {"stages": 3}, {"stages": 1}]
    assert all((each.chip, each.bits, each.width) == ("sm_90", 16, 64) for each in candidates(row))


def test_every_table_but_that_of_partial_sums_can_be_tuned() -> None:
    assert TARGETS.keys() == {*ops()} - UNTUNED


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(KernelError, match="there is no table of tiles 'lineer' to tune") as refused:
        tune(["lineer"], measure=far_from_best)
    assert refused.value.hint == "did you mean 'linear'?"
    with pytest.raises(KernelError, match="tiles are tuned on a GPU"):
        tune(["linear"], kind="cpu")


def test_the_table_says_what_was_kept(own: Path) -> None:
    rows = tuning_table(tune(["linear"], chip="sm_90", measure=far_from_best)).rows
    assert rows[0][3] == ", ".join(f"{name} {value}" for name, value in sorted(BEST.items()))
    assert rows[0][5] == "1 s"
