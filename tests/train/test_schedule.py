"""Warm-up and cosine meet their end points."""

from __future__ import annotations

from functools import partial

import pytest

from isoflop.train.schedule import warmup_cosine

rate = partial(warmup_cosine, n_steps=101, warmup_steps=10, peak=1.0, final=0.1)


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    assert [rate(step) for step in range(10)] == pytest.approx([0.1 * (step + 1) for step in range(10)])


def test_cosine_falls_from_the_peak_to_the_final_rate() -> None:
    assert rate(10) == 1.0
    assert rate(55) == pytest.approx(0.55)
    assert rate(100) == pytest.approx(0.1)
    rates = [rate(step) for step in range(10, 101)]
    assert rates == sorted(rates, reverse=True)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert warmup_cosine(0, n_steps=5, warmup_steps=0, peak=2.0, final=0.0) == 2.0
    assert warmup_cosine(4, n_steps=5, warmup_steps=0, peak=2.0, final=0.0) == pytest.approx(0.0)


@pytest.mark.parametrize("warmup_steps", [0, 1, 2])
def test_runs_of_one_step_train(warmup_steps: int) -> None:
    assert warmup_cosine(0, n_steps=1, warmup_steps=warmup_steps, peak=2.0, final=0.5) > 0
