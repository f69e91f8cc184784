"""A run trained beside others is the run that it is alone: bit for bit, however they differ and whenever they end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isoflop import Shape
from isoflop.data import Corpus
from isoflop.errors import CorpusError, SpecError
from isoflop.runs import Recorder, RunRecord, RunStore, run_id
from isoflop.train.course import Outcome
from isoflop.train.loop import train_stack
from isoflop.train.spec import TrainSpec

MakeSpec = Callable[..., TrainSpec]
Columns = dict[str, np.ndarray]

DIFFERENT: list[dict[str, Any]] = [
    {},
    {"seed": 1},
    {"data_seed": 3, "learning_rate": 3e-2, "final_learning_rate": 3e-2},
    {"tokens": 55 * 128, "unique_tokens": 20 * 128, "warmup_steps": 0},
    {"tokens": 7 * 128, "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.5, "grad_clip": 0.1},
    {"learning_rate": 1e30, "final_learning_rate": 1e30, "warmup_steps": 0},
    {"tokens": 90 * 128, "unique_tokens": 256, "learning_rate": 5e-2, "evaluations": 30, "patience": 2},
    {"evaluations": 3, "eval_tokens": 4096, "measurements": ["position", "accuracy", "gap"], "exact_match": [3]},
]

WIDER = Shape(n_layer=1, d_model=32, n_head=2, n_ctx=16, n_vocab=256)


def stacked(specs: Sequence[TrainSpec], corpus: Corpus, folder: Path, **options: Any) -> tuple[list[Outcome], RunStore]:
    """The specs trained as one stack, each recorded."""
    store = RunStore(folder)
    recorders = [Recorder(store, spec.to_dict(), counts=spec.counts()) for spec in specs]
    for recorder in recorders:
        recorder.__enter__()
    outcomes = train_stack(specs, [corpus] * len(specs), recorders, **options)
    for recorder in recorders:
        recorder.__exit__(None, None, None)
    return outcomes, store


def told(record: RunRecord | None) -> dict[str, float]:
    """What came out of a run, but for how many of its steps it made itself."""
    assert record is not None
    return {name: value for name, value in (record.result or {}).items() if name != "trained_tokens"}


def assert_same_points(one: Columns, other: Columns) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_each_run_of_a_stack_is_what_it_is_alone(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    specs = [make_spec(**changes) for changes in DIFFERENT]
    together, store = stacked(specs, corpus, tmp_path / "together")
    for spec, outcome in zip(specs, together, strict=True):
        run = run_id(spec.to_dict())
        [alone], single = stacked([spec], corpus, tmp_path / run)
        np.testing.assert_equal((alone.held_out, alone.step), (outcome.held_out, outcome.step))
        assert_same_points(store.points_of(run), single.points_of(run))
        first, second = store.get(run), single.get(run)
        assert first is not None
        assert second is not None
        assert (first.status, first.error) == (second.status, second.error)
        assert told(first) == told(second)
    states = [record.status for spec in specs if (record := store.get(run_id(spec.to_dict()))) is not None]
    assert states == ["finished"] * 5 + ["diverged"] + ["finished"] * 2
    assert math.isnan(together[5].held_out.mean)
    assert together[6].tokens < specs[6].tokens, "stopped early"


def test_runs_are_told_of_as_they_end_and_rest_then(make_spec: MakeSpec, corpus: Corpus) -> None:
    specs = [make_spec(tokens=steps * 128, unique_tokens=1280) for steps in (30, 10, 20)]
    told: list[tuple[str, int, int]] = []
    outcomes = train_stack(
        specs, [corpus] * 3, [None] * 3,
        progress=lambda index, step: told.append(("step", index, step)),
        ended=lambda index, outcome: told.append(("end", index, outcome.step)),
    )  # fmt: skip
    assert [entry for entry in told if entry[0] == "end"] == [("end", 1, 10), ("end", 2, 20), ("end", 0, 30)]
    for index, steps in enumerate((30, 10, 20)):
        assert [step for kind, run, step in told if (kind, run) == ("step", index)] == list(range(1, steps + 1))
        assert outcomes[index].step == steps
    assert outcomes[1].seconds < outcomes[2].seconds < outcomes[0].seconds


def test_learning_rates_are_those_of_the_schedule_step_by_step(make_spec: MakeSpec, corpus: Corpus) -> None:
    specs = [make_spec(), make_spec(warmup_steps=0, learning_rate=3e-3, tokens=20 * 128)]

    class Listening:
        """An engine that learns nothing and remembers the rates it was given."""

        batch, eval_batch, parts = 8, 8, 1

        def __init__(self) -> None:
            self.active = torch.ones(2, dtype=torch.bool)
            self.hyper = {"lr": torch.zeros(2, dtype=torch.float64)}
            self.seen: list[list[float]] = []

        def step(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            assert tokens.shape == targets.shape == (2, 8, 16)
            assert torch.equal(tokens[..., 1:], targets[..., :-1]), "targets are the tokens that follow"
            self.seen.append([rate for rate, live in zip(self.hyper["lr"].tolist(), self.active, strict=True) if live])
            return torch.ones(2)

        def evaluate(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return torch.ones(tokens.shape)

    listening = Listening()
    train_stack(specs, [corpus] * 2, [None] * 2, step=listening)  # type: ignore[arg-type]
    first, second = (spec.rates() for spec in specs)
    assert listening.seen == [[a, b] for a, b in zip(first, second, strict=False)] + [[rate] for rate in first[20:]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shape": WIDER}, "; d_model: 16, 32; d_ff: 64, 128; d_head: 8, 16"),
        ({"batch_tokens": 256, "tokens": 5120}, "; batch_tokens: 128, 256"),
        ({"measurements": ["noise"]}, "; noise is measured: False, True"),
        ({"accumulate": 2}, "; accumulate: 1, 2"),
    ],
    ids=["shape", "batch", "noise", "accumulate"],
)
def test_runs_that_do_not_go_together_are_refused(
    make_spec: MakeSpec, corpus: Corpus, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=rf"2 runs of 2 kinds cannot be trained together{told}\n.*share shape, batch"):
        train_stack([make_spec(), make_spec(**change)], [corpus] * 2, [None] * 2)


def test_no_runs_make_no_stack() -> None:
    with pytest.raises(SpecError, match="0 runs of 0 kinds"):
        train_stack([], [], [])


def test_one_run_of_another_corpus_is_refused_before_any_is_trained(make_spec: MakeSpec, corpus: Corpus) -> None:
    steps: list[int] = []
    with pytest.raises(CorpusError, match="resolved for corpus abc"):
        train_stack(
            [make_spec(), make_spec(corpus="abc")], [corpus] * 2, [None] * 2, progress=lambda k, step: steps.append(k)
        )
    assert steps == []
