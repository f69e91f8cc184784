from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.errors import PlanError, SpecError
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


H100_HOUR = 989.5e12 * 3600


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("10000 H100-hours @ 40 % MFU", 4000),
        ("10,000 h100-sxm hours @ 40% mfu", 4000),
        ("2 h100-sxm-days @ .5 MFU", 24),
        ("$2M @ $2.50/H100-hour @ 40% MFU", 320_000),
        ("$1.5 million @ 50% utilisation @ $3/h100-sxm-hour", 250_000),
        ("€900 @ €9/H100-day @ 100% MFU", 2400),
    ],
)
def test_time_of_devices_and_money_for_it_are_budgets(text: str, hours: float) -> None:
    assert parse_compute(text) == pytest.approx(hours * H100_HOUR, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10000 H100-hours", "does not say how busy"),
        ("$2M", "does not say how busy"),
        ("$2M @ 40% MFU", "no price of a device's hour"),
        ("$2M @ €2/h100-sxm-hour @ 40% MFU", r"price in \$"),
        ("10 h100-sxm-hours @ 140% MFU", "not between 0 and 1"),
        ("10 bananas @ 40% MFU", "unknown unit 'bananas'"),
        ("1e21 FLOP @ $3/h100-sxm-hour @ 40% MFU", "cannot read"),
    ],
)
def test_time_without_its_use_is_no_budget(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        parse_compute(text)


def test_a_device_that_nobody_knows_is_named() -> None:
    with pytest.raises(SpecError, match="unknown device 'h900'"):
        parse_compute("10 h900-hours @ 40% MFU")


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
