"""Schedules meet their end points; cool-downs off a trunk are the runs they stand for, at the trunk's price."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.errors import SpecError
from isoflop.train.schedules import FALLS, FORMS, KAPLAN_WARMUP, Schedule, branches, steps_trained, tokens_trained

NAMES = pytest.mark.parametrize("form", FORMS)


@NAMES
@given(warmup=st.integers(0, 50), more=st.integers(1, 200), final=st.floats(0, 1))
def test_multipliers_lie_between_nought_and_one(form: str, warmup: int, more: int, final: float) -> None:
    rates = Schedule(form, warmup, final=final).rates(warmup + more)
    assert rates.shape == (warmup + more,)
    assert ((rates >= 0) & (rates <= 1)).all()


@NAMES
def test_warm_up_rises_in_equal_steps_to_the_peak(form: str) -> None:
    rates = Schedule(form, warmup=10).rates(101)
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)


@NAMES
def test_no_rate_rises_after_the_warm_up(form: str) -> None:
    assert (np.diff(Schedule(form, warmup=10, final=0.1).rates(101)[10:]) <= 0).all()


@pytest.mark.parametrize("form", [name for name, form in FORMS.items() if form.decay])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_a_fall_ends_at_the_final_share_with_the_last_step(form: str, final: float) -> None:
    assert Schedule(form, warmup=10, final=final).rates(101)[-1] == pytest.approx(final)


def test_the_cosine_is_half_way_in_the_middle() -> None:
    rates = Schedule("cosine", warmup=10, final=0.1).rates(101)
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.55)
    assert Schedule("linear", warmup=10).rates(101)[55] == pytest.approx(0.5)


def test_kaplans_schedule_rises_for_3000_steps_and_falls_to_nought() -> None:
    rates = Schedule("cosine", warmup=KAPLAN_WARMUP).rates(250_000)
    assert rates.argmax() == 2999
    assert rates[-1] == pytest.approx(0.0)


def test_a_stable_phase_holds_the_peak_until_the_decay() -> None:
    rates = Schedule("wsd", warmup=10, decay=20).rates(100)
    assert (rates[9:80] == 1.0).all()
    np.testing.assert_allclose(rates[80:], 1 - np.sqrt(np.arange(1, 21) / 20), atol=1e-15)
    assert (np.flatnonzero(Schedule("wsd", warmup=10).rates(100) == 1.0)[-1]) == 79, "a fifth of the run, unless said"


def test_the_inverse_root_halves_after_three_more_warm_ups() -> None:
    rates = Schedule("inverse-sqrt", warmup=100).rates(1000)
    assert rates[399] == pytest.approx(0.5)
    assert rates[899] == pytest.approx(1 / 3)


@NAMES
def test_the_first_step_has_the_whole_rate_without_a_warm_up(form: str) -> None:
    assert Schedule(form).rates(5)[0] == 1.0


@pytest.mark.parametrize("fall", FALLS)
def test_falls_go_from_one_to_nought(fall: str) -> None:
    np.testing.assert_allclose(FALLS[fall](np.array([0.0, 1.0])), [1.0, 0.0], atol=1e-15)


@NAMES
@pytest.mark.parametrize("warmup", [0, 1])
def test_a_run_of_one_step_trains(form: str, warmup: int) -> None:
    assert Schedule(form, warmup).rates(1)[0] > 0


@NAMES
def test_any_steps_may_be_asked_for_in_any_form_of_array(form: str) -> None:
    schedule = Schedule(form, warmup=7, final=0.2)
    whole = schedule.rates(60)
    np.testing.assert_array_equal(schedule.rate(np.arange(60).reshape(3, 20), 60), whole.reshape(3, 20))
    assert schedule.rate(31, 60) == whole[31]


@NAMES
def test_schedules_survive_json(form: str) -> None:
    schedule = Schedule(form, 5, 10, 0.25)
    assert Schedule(**json.loads(json.dumps(schedule.to_dict()))) == schedule


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"form": "cosin"}, r"unknown schedule 'cosin'\n.*did you mean 'cosine'"),
        ({"warmup": -1}, "warmup = -1 must be a whole number"),
        ({"decay": 2.5}, "decay = 2.5 must be a whole number"),
        ({"final": 1.5}, "final = 1.5 must be a share"),
        ({"final": float("nan")}, "final = nan must be a share"),
    ],
)
def test_impossible_schedules_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Schedule(**given)


def test_schedules_longer_than_the_run_are_refused() -> None:
    with pytest.raises(SpecError, match="warm-up of 3000 steps is longer than the run, 100 steps"):
        Schedule(warmup=KAPLAN_WARMUP).rates(100)
    with pytest.raises(SpecError, match="warm-up of 60 steps and a decay of 50 are longer"):
        Schedule("wsd", warmup=60, decay=50).rates(100)
    with pytest.raises(SpecError, match="steps 0 to 100 of a run of 100"):
        Schedule().rate([0, 100], 100)


@pytest.mark.parametrize("form", ["wsd", "wsd-linear", "wsd-cosine"])
def test_a_branch_is_the_trunk_up_to_its_start_and_then_its_cool_down(form: str) -> None:
    trunk = Schedule("constant", warmup=10).rates(400)
    for branch in branches(400, at=[50, 100, 400], decay_fraction=0.2):
        rates = branch.schedule(form=form, warmup=10).rates(branch.n_steps)
        np.testing.assert_array_equal(rates[: branch.start], trunk[: branch.start])
        assert rates[branch.start] < 1
        assert rates[-1] == pytest.approx(0, abs=1e-12)


@given(st.sets(st.integers(1, 5000), min_size=1, max_size=20), st.floats(0.01, 0.9))
def test_cool_downs_take_their_share_and_the_trunk_is_counted_once(at: set[int], share: float) -> None:
    branched = branches(5000, at=list(at), decay_fraction=share)
    for branch in branched:
        assert abs(branch.cooldown - share * branch.n_steps) <= 1
    visited = {("trunk", step) for branch in branched for step in range(branch.start)}
    visited |= {(str(branch.start), step) for branch in branched for step in range(branch.cooldown)}
    assert steps_trained(branched) == len(visited)
    assert tokens_trained(branched, batch_tokens=512) == 512 * len(visited)


def test_five_branches_of_a_fifth_cost_less_than_half_of_five_runs() -> None:
    branched = branches(1000, at=[200, 400, 600, 800, 1000], decay_fraction=0.2)
    assert [branch.n_steps for branch in branched] == [250, 500, 750, 1000, 1250]
    assert steps_trained(branched) == 1750
    assert sum(branch.n_steps for branch in branched) == 3750


@pytest.mark.parametrize(
    ("at", "share", "message"),
    [
        ([], 0.2, r"at = \[\] must name steps"),
        ([5, 5], 0.2, "each once"),
        ([50, 101], 0.2, "after step 101 of a trunk of 100"),
        ([0], 0.2, "after step 0"),
        ([50], 1.0, "decay_fraction = 1.0 must lie"),
    ],
)
def test_branches_off_no_trunk_are_refused(at: list[int], share: float, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        branches(100, at=at, decay_fraction=share)
