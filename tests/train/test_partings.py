"""Steps that runs of a stack share are made once, and no run can tell: every point is the one that it has alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.data import Corpus
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.train.checkpoint import Checkpoints
from isoflop.train.loop import train_stack
from isoflop.train.partings import Parting, families, partings, trained_steps
from isoflop.train.spec import TrainSpec
from isoflop.train.step import make_step

MakeSpec = Callable[..., TrainSpec]
COMMON: dict[str, Any] = {"unique_tokens": 60 * 128, "warmup_steps": 3, "schedule": "wsd", "evaluations": 3}


@pytest.fixture(params=[{"engine": "torch"}, {"engine": "native", "averaging": "tail"}], ids=["torch", "native, tail"])
def family(request: pytest.FixtureRequest, make_spec: MakeSpec) -> list[TrainSpec]:
    """Cool-downs after 24 and 32 steps of a trunk that goes on to 48, in no order, and a run of another seed."""
    common = {**COMMON, **request.param}
    lengths = [(40, 8), (60, 12), (30, 6)]
    branches = [make_spec(tokens=steps * 128, decay_steps=fall, **common) for steps, fall in lengths]
    return [*branches, make_spec(tokens=30 * 128, decay_steps=6, seed=5, **common)]


def record(specs: list[TrainSpec], corpus: Corpus, store: RunStore, **given: Any) -> list[dict[str, np.ndarray]]:
    recorders = [Recorder(store, spec.to_dict(), counts=spec.counts()).__enter__() for spec in specs]
    train_stack(specs, [corpus] * len(specs), recorders, **given)
    for recorder in recorders:
        recorder.__exit__(None, None, None)
    return [store.points_of(recorder.id) for recorder in recorders]


def test_cool_downs_follow_the_longest_run_until_they_part(family: list[TrainSpec]) -> None:
    assert partings(family) == {0: Parting(1, 32), 2: Parting(1, 24)}
    assert families(family) == [[family[1], family[0], family[2]], [family[3]]]
    assert trained_steps(family) == 60 + 8 + 6 + 30


def test_every_point_of_a_follower_is_the_one_it_has_alone(
    family: list[TrainSpec], corpus: Corpus, tmp_path: Path
) -> None:
    together = RunStore(tmp_path / "together")
    for spec, points in zip(family, record(family, corpus, together), strict=True):
        alone = RunStore(tmp_path / f"alone{run_id(spec.to_dict())}")
        [expected] = record([spec], corpus, alone)
        assert points.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(points[name], values, err_msg=name)
        mine, its = (store.get(run_id(spec.to_dict())) for store in (together, alone))
        assert mine is not None
        assert its is not None
        assert its.result is not None
        own = {40: 8, 60: 60}.get(spec.n_steps, 30 if spec.seed else 6)
        assert mine.result == its.result | {"trained_tokens": own * 128}


def test_only_the_steps_that_are_nobody_elses_are_made(family: list[TrainSpec], corpus: Corpus) -> None:
    engine = make_step(family)
    made = 0
    step = engine.step

    def counted(*given: Any) -> Any:
        nonlocal made
        made += int(engine.active.sum())
        return step(*given)

    engine.step = counted  # type: ignore[method-assign]
    train_stack(family, [corpus] * len(family), [None] * len(family), step=engine)
    assert made == trained_steps(family)


@pytest.mark.parametrize("stop_at", [10, 26, 45])
def test_followers_go_on_from_checkpoints(
    family: list[TrainSpec], corpus: Corpus, tmp_path: Path, stop_at: int
) -> None:
    class Stopped(KeyboardInterrupt):
        pass

    def stop(index: int, step: int) -> None:
        if (index, step) == (1, stop_at):
            raise Stopped

    whole = record(family, corpus, RunStore(tmp_path / "whole"))
    store = RunStore(tmp_path / "broken")
    recorders = [Recorder(store, spec.to_dict(), counts=spec.counts()).__enter__() for spec in family]
    files = [Checkpoints(store.run(recorder.id), 5) for recorder in recorders]
    with pytest.raises(Stopped):
        train_stack(family, [corpus] * len(family), recorders, checkpoints=files, progress=stop)
    left = []
    for spec, recorder in zip(family, recorders, strict=True):
        stopped = Stopped()
        recorder.__exit__(None if recorder._result else Stopped, None if recorder._result else stopped, None)
        if not recorder._result:
            left.append(spec)
    kept = [Checkpoints(store.run(run_id(spec.to_dict())), 5) for spec in left]
    record(left, corpus, store, checkpoints=kept)
    for spec, expected in zip(family, whole, strict=True):
        points = store.points_of(run_id(spec.to_dict()))
        for name, values in expected.items():
            np.testing.assert_array_equal(points[name], values, err_msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"data_seed": 1},
        {"weight_decay": 0.2},
        {"warmup_steps": 4},
        {"learning_rate": 2e-2},
        {"unique_tokens": 50 * 128},
        {"averaging": "ema", "engine": "torch"},
    ],
    ids=str,
)
def test_runs_of_other_steps_follow_nobody(make_spec: MakeSpec, change: dict[str, Any]) -> None:
    trunk = make_spec(tokens=60 * 128, **COMMON)
    other = make_spec(**{"tokens": 40 * 128, **COMMON, **change})
    assert partings([trunk, other]) == {}
    assert families([trunk, other]) == [[trunk], [other]]


def test_a_shorter_run_at_a_constant_rate_shares_all_but_its_last_step(make_spec: MakeSpec) -> None:
    constant = {**COMMON, "schedule": "constant", "final_learning_rate": 1e-2, "learning_rate": 1e-2}
    long, short = (make_spec(tokens=steps * 128, **constant) for steps in (60, 20))
    assert partings([short, long]) == {0: Parting(1, 19)}


@pytest.mark.parametrize(("averaging", "share", "step"), [("tail", 0.1, 32), ("tail", 0.5, 21), ("none", 0.5, 32)])
def test_runs_part_where_the_average_of_the_shorter_one_begins(
    make_spec: MakeSpec, averaging: str, share: float, step: int
) -> None:
    averaged = {**COMMON, "averaging": averaging, "averaging_share": share}
    long, short = (make_spec(tokens=steps * 128, decay_steps=steps // 5, **averaged) for steps in (60, 40))
    assert partings([long, short]) == {1: Parting(0, step)}


def test_a_follower_of_a_trunk_that_diverges_has_diverged_too(make_spec: MakeSpec, corpus: Corpus) -> None:
    wild = {**COMMON, "learning_rate": 1e6, "grad_clip": 1e9}
    specs = [make_spec(tokens=steps * 128, decay_steps=4, **wild) for steps in (60, 40)]
    together = train_stack(specs, [corpus] * 2, [None] * 2)
    alone = [train_stack([spec], [corpus], [None])[0] for spec in specs]
    assert [(run.step, run.held_out.mean) for run in together] == [
        (run.step, pytest.approx(run.held_out.mean, nan_ok=True)) for run in alone
    ]
