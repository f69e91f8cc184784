"""A sweep stops and loses nothing, runs end when their time is over, and ended runs are prolonged."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.data import Corpus, load_corpus
from isoflop.errors import SpecError
from isoflop.runs import RunStore, run_id
from isoflop.sweep.job import How
from isoflop.sweep.launcher import run_sweep
from isoflop.sweep.resolve import resolve
from isoflop.sweep.study import parse_study
from isoflop.train.spec import TrainSpec

MakeSpecs = Callable[..., list[TrainSpec]]
LONG = {"shapes": [{"d_model": [4]}], "tokens": [1_600_000], "train": {"allow_repeats": True, "seeds": [0, 1]}}
HELD = {
    "extendable": True,
    "shapes": [{"d_model": [4]}],
    "train": {"schedule": "constant", "warmup_steps": 10, "unique_tokens": 6400, "evaluations": 2},
}


def ident(spec: TrainSpec) -> str:
    return run_id(spec.to_dict())


def losses(store: RunStore, specs: list[TrainSpec]) -> list[float]:
    records = [store.get(ident(spec)) for spec in specs]
    return [record.result["loss"] for record in records if record is not None and record.result is not None]


def stopped_amid(specs: list[TrainSpec], store: RunStore, watch: Any, **how: Any) -> None:
    """Stop the sweep of ``specs`` as soon as a run is under way; it is, and nothing has ended."""
    stop = threading.Event()
    result = run_sweep(specs, store, workers=1, watcher=watch(lambda *_: stop.set()), stop=stop, **how)
    assert (result.stopped, result.states) == (True, {})
    assert {store.state(record) for record in store} == {"interrupted"}


def test_a_sweep_that_is_stopped_goes_on_from_the_step_where_it_stood(
    store: RunStore, make_specs: MakeSpecs, watch: Any, tmp_path: Path, text: Path
) -> None:
    specs = make_specs(**LONG)
    stopped_amid(specs, store, watch)
    files = [store.path / "runs" / record.id / "checkpoint.safetensors" for record in store]
    assert files
    assert all(file.exists() for file in files)
    result = run_sweep(specs, store, workers=1)
    assert (result.stopped, result.count("finished")) == (False, 2)
    assert not any(file.exists() for file in files)
    whole = RunStore(tmp_path / "whole")
    load_corpus(str(text), whole.cache)
    run_sweep(specs, whole, workers=1)
    assert losses(store, specs) == losses(whole, specs)
    for spec in specs:
        mine, undisturbed = store.points_of(ident(spec)), whole.points_of(ident(spec))
        for name, values in undisturbed.items():
            np.testing.assert_array_equal(mine[name], values, err_msg=name)


def test_a_sweep_stops_when_its_time_is_over(store: RunStore, make_specs: MakeSpecs) -> None:
    specs = make_specs(**{**LONG, "tokens": [320_000_000]})
    result = run_sweep(specs, store, workers=1, seconds=0.1)
    assert (result.stopped, result.states) == (True, {})
    assert {store.state(record) for record in store} <= {"interrupted"}


def test_a_run_that_takes_too_long_fails_and_goes_on_when_it_may_take_longer(
    store: RunStore, make_specs: MakeSpecs
) -> None:
    specs = make_specs(**LONG)[:1]
    result = run_sweep(specs, store, workers=1, how=How(run_seconds=1e-3))
    assert result.states == {ident(specs[0]): "failed"}
    assert "it took longer than run_seconds = 0.001" in result.errors[ident(specs[0])]
    assert (store.path / "runs" / ident(specs[0]) / "checkpoint.safetensors").exists()
    again = run_sweep(specs, store, workers=1, how=How(run_seconds=600))
    assert again.count("finished") == 1
    record = store.get(ident(specs[0]))
    assert record is not None
    assert record.attempt == 2


def test_a_run_out_of_time_is_tried_again_as_often_as_said_and_gets_on_each_time(
    store: RunStore, make_specs: MakeSpecs, watch: Any
) -> None:
    specs, seen = make_specs(**LONG)[:1], watch()
    result = run_sweep(specs, store, workers=1, how=How(run_seconds=1e-3), retries={"time": 2}, watcher=seen)
    assert result.states == {ident(specs[0]): "failed"}
    assert [spec for spec, _ in seen.retried] == specs * 2
    record = store.get(ident(specs[0]))
    assert record is not None
    assert record.attempt == 3


def prolonged(corpus: Corpus, tokens: int, **changes: Any) -> list[TrainSpec]:
    shape = {"n_layer": 1, "n_head": 1, "n_ctx": 16, "n_vocab": 256}
    train = {"batch_tokens": 64, "learning_rate": 0.01, "eval_tokens": 512, **HELD["train"], **changes}  # type: ignore[dict-item]
    return resolve(parse_study({"shape": shape, **HELD, "tokens": [tokens], "train": train}), corpus)


@pytest.mark.parametrize("schedule", ["constant", "wsd"])
def test_a_finished_run_is_prolonged_and_gives_the_loss_of_the_whole(
    store: RunStore, corpus: Corpus, tmp_path: Path, text: Path, schedule: str
) -> None:
    [short], [long] = (prolonged(corpus, tokens, schedule=schedule) for tokens in (6400, 12800))
    how = How(extendable=True)
    run_sweep([short], store, workers=1, how=how)
    run_sweep([long], store, workers=1, how=how)
    whole = RunStore(tmp_path / "whole")
    load_corpus(str(text), whole.cache)
    run_sweep([long], whole, workers=1)
    assert losses(store, [long]) == losses(whole, [long])
    record = store.get(ident(long))
    assert record is not None
    assert record.result is not None
    assert record.environment["extends"] == f"{ident(short)} from step {short.held_steps}"
    assert record.result["trained_tokens"] == 12800 - short.held_steps * 64
    steps = store.points_of(ident(long))["step"]
    assert (np.diff(steps) > 0).all()
    assert (steps[0], steps[-1]) == (1, 200)


def test_a_run_of_other_steps_is_not_begun_from(store: RunStore, corpus: Corpus) -> None:
    how = How(extendable=True)
    run_sweep(prolonged(corpus, 6400), store, workers=1, how=how)
    [other] = prolonged(corpus, 12800, learning_rate=0.02)
    run_sweep([other], store, workers=1, how=how)
    record = store.get(ident(other))
    assert record is not None
    assert record.result is not None
    assert "extends" not in record.environment
    assert record.result["trained_tokens"] == 12800


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schedule": "cosine"}, "schedule 'cosine' share no steps"),
        ({"batch_tokens": {"scale": 1, "D": 0.4}}, "batch_tokens would follow"),
        ({"learning_rate": "step-law"}, "learning_rate would follow"),
        ({"warmup_steps": None}, "warmup_steps would follow"),
        ({"unique_tokens": 0}, "unique_tokens would follow"),
    ],
)
def test_what_would_change_the_first_steps_of_longer_runs_is_refused(
    corpus: Corpus, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(SpecError, match=named):
        prolonged(corpus, 6400, **changes)


def test_a_run_whose_end_is_foreseen_stops_and_says_so(store: RunStore, make_specs: MakeSpecs, tmp_path: Path) -> None:
    train = {"evaluations": 40, "eval_tokens": 4096, "allow_repeats": True, "schedule": "constant", "warmup_steps": 5}
    kind: dict[str, Any] = {"shapes": [{"d_model": [4]}], "tokens": [640_000]}
    [narrow] = make_specs(**kind, train=train | {"early_stop": 1e-9})
    [wide] = make_specs(**kind, train=train | {"early_stop": 2.0})
    run_sweep([narrow], store, workers=1)
    other = RunStore(tmp_path / "other")
    shutil.copytree(store.cache, other.cache)
    run_sweep([wide], other, workers=1)
    to_the_end, early = store.get(ident(narrow)), other.get(ident(wide))
    assert to_the_end is not None
    assert early is not None
    assert to_the_end.result is not None
    assert early.result is not None
    assert "stopped_at" not in to_the_end.result
    assert to_the_end.result["trained_tokens"] == 640_000
    assert early.result["stopped_at"] < 0.5 * wide.n_steps
    assert early.result["trained_tokens"] == early.result["stopped_at"] * 64
    assert early.result["tokens"] == 640_000, "the loss is that of the end"
    assert early.result["foreseen_low"] < early.result["loss"] < early.result["foreseen_high"]
    assert early.result["foreseen_high"] - early.result["foreseen_low"] <= 4.0
    assert early.result["foreseen_low"] < to_the_end.result["loss"] < early.result["foreseen_high"]
