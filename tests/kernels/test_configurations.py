"""Which row of a table of configurations a launch gets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from isoflop.errors import KernelError
from isoflop.kernels.configurations import Configuration, chip_of, configuration, library_past, ops, table

NORM = "[[entry]]\nchip = 'sm_90'\nwidth = 64\nrows = 1\ncolumns = 64\nwarps = 2\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOFLOP_CONFIGURATIONS", str(tmp_path))
    return tmp_path / "norm.toml"


def chosen(width: int, chip: str | None = None, dtype: torch.dtype = torch.bfloat16) -> tuple[int, int]:
    row = configuration("norm", width=width, dtype=dtype, chip=chip)
    return row["rows"], row["columns"]


# The widest rows of bfloat16 that a table serves; the others serve any.
WIDEST = {
    "mlp": 256,
    "mlp_backward_rows": 256,
    "mlp_backward_columns": 256,
    "block": 64,
    "block_backward": 64,
}


@pytest.mark.parametrize("op", ops())
def test_every_table_serves_any_chip_dtype_and_width(op: str) -> None:
    for width in (1, WIDEST.get(op, 10**9)):
        assert configuration(op, width=width, dtype=torch.bfloat16, chip="sm_999")["warps"] in (1, 2, 4, 8, 16)
    for width in (1, min(128, WIDEST.get(op, 10**9))):
        assert configuration(op, width=width, dtype=torch.float32, chip="sm_999")["warps"] in (1, 2, 4, 8, 16)


@pytest.mark.parametrize("op", WIDEST)
def test_rows_wider_than_a_table_are_refused_with_what_takes_them(op: str) -> None:
    with pytest.raises(
        KernelError, match=rf"{op} of bfloat16 takes rows of up to {WIDEST[op]} elements, not 300\n  hint: b"
    ):
        configuration(op, width=300, dtype=torch.bfloat16, beyond="b")


@pytest.mark.parametrize("op", ops())
def test_every_row_of_a_table_has_the_same_numbers(op: str) -> None:
    assert len({frozenset(row.constants) for row in table(op, None)}) == 1


def test_the_narrowest_row_that_holds_the_width_is_chosen(own: Path) -> None:
    assert [chosen(width) for width in (1, 32, 33, 4096, 4097)] == [(32, 32), (32, 32), (16, 64), (1, 4096), (2, 1024)]


def test_a_users_rows_come_first_where_they_serve(own: Path) -> None:
    own.write_text(NORM)
    assert [chosen(width, "sm_90") for width in (8, 64, 65)] == [(1, 64), (1, 64), (8, 128)]
    assert chosen(64, "sm_80") == (16, 64)
    assert chosen(64) == (16, 64)


def test_a_row_of_a_chip_goes_before_a_row_of_a_dtype_before_a_row_of_any(own: Path) -> None:
    row = "[[entry]]\n{}\nrows = {}\ncolumns = 8\nwarps = 4\n"
    own.write_text(row.format("", 1) + row.format("bits = 16", 2) + row.format("chip = 'sm_90'", 4))
    assert chosen(8, "sm_90") == (4, 8)
    assert chosen(8, "sm_80") == (2, 8)
    assert chosen(8, "sm_80", torch.float32) == (1, 8)


def test_rows_that_can_never_be_chosen_are_left_out(own: Path) -> None:
    own.write_text(NORM.replace("width = 64\n", ""))
    assert [row["rows"] for row in table("norm", "sm_90", user=own.parent)] == [1]
    assert len(table("norm", "sm_80", user=own.parent)) == len(table("norm", None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[entry]", "is no table of configurations"),
        ("rows = 1", "is no table of configurations"),
        (NORM.replace("rows = 1", "rows = 0"), "numbers are integers from 1"),
        (NORM.replace("rows = 1", "rows = true"), "numbers are integers from 1"),
        (NORM.replace("rows = 1", "row = 1"), "a row has columns, row, warps; needed: columns, rows, warps"),
        (NORM.replace("warps = 2", ""), "a row has columns, rows; needed: columns, rows, warps"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(own: Path, text: str, message: str) -> None:
    own.write_text(text)
    with pytest.raises(KernelError, match=message):
        chosen(64)


def test_the_users_table_says_where_the_libraries_begin_else_ours(own: Path) -> None:
    assert library_past("linear") == 512
    assert library_past("norm") == math.inf
    with pytest.MonkeyPatch.context() as patch:
        for folder, text in (("one", NORM), ("two", "library_past = 300\n"), ("three", "library_past = 'wide'\n")):
            own.parent.joinpath(folder).mkdir()
            own.parent.joinpath(folder, "linear.toml").write_text(text)
            patch.setenv("ISOFLOP_CONFIGURATIONS", str(own.parent / folder))
            if folder == "three":
                with pytest.raises(KernelError, match="library_past is 'wide'; it must be a width"):
                    library_past("linear")
            else:
                assert library_past("linear") == {"one": 512, "two": 300}[folder]


def test_an_op_without_a_table_is_refused_with_the_nearest() -> None:
    with pytest.raises(KernelError, match=r"no configuration of 'nrom'\n  hint: did you mean 'norm'\?"):
        configuration("nrom", width=8, dtype=torch.float32)


def test_numbers_become_constants_and_warps_of_32_threads_wavefronts_of_64() -> None:
    row = Configuration({"rows": 16, "warps": 4, "stages": 2})
    assert row.constants == {"ROWS": 16}
    assert row.launch_on(32) == {"num_warps": 4, "num_stages": 2}
    assert row.launch_on(64) == {"num_warps": 2, "num_stages": 2}
    assert Configuration({"warps": 1}).launch_on(64) == {"num_warps": 1, "num_stages": 3}


def test_a_host_is_no_chip() -> None:
    assert chip_of(torch.device("cpu")) is None
