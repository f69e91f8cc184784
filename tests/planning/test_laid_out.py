"""Devices that share a model out: the time of a step is that of the roofline, of a training that of all its steps."""

from __future__ import annotations

import json

import pytest

from isoflop.counting.footprint import memory
from isoflop.counting.roofline import step_time
from isoflop.errors import PlanError, SpecError
from isoflop.planning import Plan, Space, bill, lay_out, plan

BATCH = 2**22


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan("5.76e23 FLOP", "chinchilla-besiroglu", shape=Space(multiple_of=1024))


def test_a_step_is_that_of_the_roofline_and_days_are_those_of_all_steps(planned: Plan) -> None:
    assert planned.shape is not None
    found = lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, efficiency=0.6, dp=64, tp=8, pp=4, zero=1)
    split = {"dp": 64, "tp": 8, "pp": 4, "zero": 1, "microbatches": 32}
    step = step_time(planned.shape.shape, "h100-sxm", efficiency=0.6, **split)
    assert (found.count, found.microbatches) == (2048, 32)
    assert found.step_seconds == pytest.approx(step.seconds)
    assert sum(found.parts.values()) == pytest.approx(step.seconds)
    assert found.days == pytest.approx(planned.shape.n_tokens / BATCH * step.seconds / 86_400)
    assert found.bytes == memory(planned.shape.shape, dropout=False, **split).total
    assert found.fits
    assert json.loads(json.dumps(found.to_dict()))["fits"]


def test_the_bill_of_its_utilisation_takes_the_same_days(planned: Plan) -> None:
    assert planned.shape is not None
    found = lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, dp=64, tp=8, pp=4)
    assert bill(planned.compute, "h100-sxm", mfu=found.mfu, count=found.count).days == pytest.approx(
        found.days, rel=1e-6
    )


def test_longer_pipelines_idle_more_and_fewer_devices_hold_too_much(planned: Plan) -> None:
    assert planned.shape is not None
    idle = [
        lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, dp=64, tp=8, pp=pp).parts["bubble"] for pp in (1, 2, 8)
    ]
    assert idle[0] == 0
    assert idle[0] < idle[1] < idle[2]
    alone = lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, dp=1)
    assert not alone.fits
    assert "TOO MUCH" in str(alone)


def test_what_cannot_be_laid_out_is_refused(planned: Plan) -> None:
    assert planned.shape is not None
    with pytest.raises(PlanError, match="a layout has no option 'tpp'"):
        lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, tpp=2)
    with pytest.raises(PlanError, match="60 replicas of 1 sequences of 2048 take 122,880") as refused:
        lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, dp=60)
    assert refused.value.hint == "a batch of 4,177,920 tokens"
    with pytest.raises(SpecError, match="must divide n_head"):
        lay_out(planned.shape, "h100-sxm", batch_tokens=BATCH, tp=7)
