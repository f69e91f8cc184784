from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.errors import PlanError
from isoflop.planning import parse_compute


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("5.76e23 FLOP", 5.76e23),
        ("1e24", 1e24),
        ("1e21 FLOPs", 1e21),
        (" 1E21flops ", 1e21),
        ("300 PF-days", 300 * 8.64e19),
        ("1 PF-day", 8.64e19),
        ("1 petaflop/s-day", 8.64e19),
        ("2 pfdays", 2 * 8.64e19),
        ("3 EFLOP", 3e18),
        ("2.5 ZFLOPs", 2.5e21),
        ("1,000,000", 1e6),
        ("+.5e22", 5e21),
        (1e24, 1e24),
        (10**24, 1e24),
    ],
)
def test_compute_reads_as_written(text: str | float, flops: float) -> None:
    assert parse_compute(text) == pytest.approx(flops, rel=1e-15)


@given(st.floats(1e-3, 1e300))
def test_a_number_and_its_text_are_the_same_budget(flops: float) -> None:
    assert parse_compute(flops) == flops
    assert parse_compute(repr(flops)) == flops
    assert parse_compute(f"{flops!r} FLOP") == flops


@pytest.mark.parametrize(
    "nonsense",
    ["", "abc", "-1e21", "0", 0, -1.0, float("nan"), float("inf"), "nan", "1e999", "1.5e21 bananas", "1,5e21", "e21"],
)
def test_nonsense_says_how_to_write_a_budget(nonsense: str | float) -> None:
    with pytest.raises(PlanError) as caught:
        parse_compute(nonsense)
    assert "PF-days" in str(caught.value.hint)


@pytest.mark.parametrize("wrong", [True, None, ["1e21"], 10**400])
def test_other_types_are_refused(wrong: object) -> None:
    with pytest.raises(PlanError):
        parse_compute(wrong)  # type: ignore[arg-type]


def test_a_rate_is_not_an_amount() -> None:
    with pytest.raises(PlanError, match="is a rate"):
        parse_compute("1e21 FLOP/s")
