"""A run that two processes share is the run of one: its losses, its record and what it goes on from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isoflop import Shape
from isoflop.data import load_corpus
from isoflop.errors import NotEnoughMemory, SpecError
from isoflop.runs import Recorder, RunStore
from isoflop.train import spread
from isoflop.train.footprint import needed_by_process, refuse_share_past_memory
from isoflop.train.learner import Learner
from isoflop.train.spec import TrainSpec
from isoflop.train.spread import SpreadStep
from isoflop.train.trainer import train
from proof.spread import CORPUS, spread_run

SHAPE = Shape(n_layer=2, d_model=16, n_head=2, n_ctx=16, n_vocab=16)
SETTINGS: dict[str, Any] = {
    "tokens": 30 * 128,
    "unique_tokens": 30 * 128,
    "batch_tokens": 128,
    "learning_rate": 1e-2,
    "final_learning_rate": 1e-3,
    "warmup_steps": 4,
    "eval_tokens": 1024,
}
EXPERTS = SHAPE.replace(n_expert=3, top_k=2, d_expert=16, capacity_factor=1.0)
SPREAD: dict[str, dict[str, Any]] = {
    "ddp": {"accumulate": 2, "averaging": "ema"},
    "fsdp": {"averaging": "tail", "measurements": ["noise", "accuracy"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREAD)
def test_two_processes_give_the_losses_of_one_and_go_on_bit_for_bit(spread: str, tmp_path: Path) -> None:
    corpus = load_corpus(CORPUS)
    spec = TrainSpec(shape=SHAPE, corpus=corpus.fingerprint, **SETTINGS, **SPREAD[spread])
    with Recorder(RunStore(tmp_path / "one"), spec.to_dict()) as recorder:
        train(spec, corpus, recorder)
    spread_run(spec, spread, tmp_path / "two")
    one, two = (RunStore(tmp_path / name).points_of(recorder.id) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-3, atol=1e-4, err_msg=name)
    found = json.loads((tmp_path / "two" / "outcomes.json").read_text())
    assert found["first"] == 21
    assert found["again"] == found["whole"]


def on_two_processes(*module_and_arguments: str) -> subprocess.CompletedProcess[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return subprocess.run(
        [sys.executable, *launch, *module_and_arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=__file__.partition("/train/")[0],
    )  # fmt: skip


def torchrun(study: Path, store: Path, spread: str) -> subprocess.CompletedProcess[str]:
    return on_two_processes("isoflop", "sweep", str(study), "--store", str(store), "--spread", spread, "--json")


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREAD)
def test_a_process_takes_the_memory_that_was_predicted(spread: str) -> None:
    shape = Shape(n_layer=6, d_model=512, n_head=4, n_ctx=64, n_vocab=512)
    sizes = {"batch_tokens": 32 * 64, "tokens": 256 * 64, "unique_tokens": 256 * 64}
    spec = TrainSpec(shape=shape, corpus="none", **SETTINGS | sizes)
    made = on_two_processes("proof.peak", json.dumps(spec.to_dict()), "1", spread)
    found = json.loads(made.stdout)
    assert found["predicted"] == pytest.approx(found["taken"], rel=0.25)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainSpec], list[SpreadStep]]:
    """The step of each of two processes, neither of which has the other's gradients."""

    def steps(spec: TrainSpec) -> list[SpreadStep]:
        made = []
        for rank in range(2):
            monkeypatch.setattr(spread.dist, "get_world_size", lambda: 2)
            monkeypatch.setattr(spread.dist, "get_rank", lambda rank=rank: rank)
            monkeypatch.setattr(spread, "_free_bytes", lambda: 2**40)
            monkeypatch.setitem(spread.SPREADS, "ddp", (lambda model, spec, device: model.objective, {}))
            made.append(SpreadStep(spec, "ddp"))
        return made

    return steps


def test_experts_balance_among_the_rows_that_they_do_in_one_process(
    two_processes: Callable[[TrainSpec], list[SpreadStep]],
) -> None:
    spec = TrainSpec(shape=EXPERTS, corpus="none", accumulate=4, balance_loss=1.0, **SETTINGS)
    windows = torch.randint(16, (1, spec.batch_windows, 17), generator=torch.Generator().manual_seed(0))
    given = windows[..., :-1], windows[..., 1:]
    one = Learner(spec)
    one.gradients(*(each[0] for each in given))
    shares = two_processes(spec)
    for step in shares:
        step._own.learners[0].gradients(*(step._share(each)[0] for each in given))
    for name, parameter in one.model.named_parameters():
        grads = [step._own.learners[0].model.get_parameter(name).grad for step in shares]
        torch.testing.assert_close((grads[0] + grads[1]) / 2, parameter.grad, msg=name)


@pytest.mark.parametrize("changes", [{"accumulate": 1}, {"accumulate": 2, "measurements": ["noise"]}], ids=str)
def test_experts_whose_parts_cannot_be_shared_out_are_refused(
    two_processes: Callable[[TrainSpec], list[SpreadStep]], changes: dict[str, Any]
) -> None:
    with pytest.raises(SpecError, match=r"must be a multiple of 2, without measuring noise\n.*accumulate = 2 in"):
        two_processes(TrainSpec(shape=EXPERTS, corpus="none", **SETTINGS | changes))


def test_a_share_past_the_memory_is_refused_in_words() -> None:
    spec = TrainSpec(shape=SHAPE, corpus="none", **SETTINGS)
    total = sum(needed_by_process(spec, "fsdp", 4).values())
    assert needed_by_process(replace(spec, shape=EXPERTS, accumulate=8), "fsdp", 4)
    refuse_share_past_memory(spec, "fsdp", 4, total)
    refuse_share_past_memory(spec, "fsdp", 4, None)
    with pytest.raises(NotEnoughMemory, match=r"^each of 4 processes with its share of .*\n.*more processes"):
        refuse_share_past_memory(spec, "fsdp", 4, total - 1)


STUDY = """
corpus = "synthetic:zipf-markov?tokens=2e4"
tokens = [2048, 1024]
shapes = [{ n_layer = 1, d_model = 8, n_head = 1, n_ctx = 16, n_vocab = 16 }]
[train]
engine = "torch"
batch_tokens = 128
learning_rate = 0.01
eval_tokens = 512
"""


@pytest.mark.slow
def test_torchrun_makes_the_runs_of_a_study_that_its_store_lacks(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    made = torchrun(tmp_path / "study.toml", tmp_path / "store", "ddp")
    assert json.loads(made.stdout)["finished"] == 2, made.stderr
    for record in RunStore(tmp_path / "store", create=False):
        assert record.environment["engine"].endswith("ddp over 2 processes")
        assert record.counts["D"] == record.counts["U"] == record.spec["tokens"]
    (tmp_path / "study.toml").write_text(STUDY.replace("128", "16"))
    refused = torchrun(tmp_path / "study.toml", tmp_path / "other", "ddp")
    assert refused.returncode != 0
    assert "1 contexts of a batch, in 1 parts, cannot be shared out among 2 processes" in refused.stderr


def test_a_run_is_spread_by_torchrun_alone() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "isoflop", "sweep", "--spread", "ddp", "examples/quickstart.toml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 2
    assert "torchrun --nproc-per-node 2 -m isoflop sweep STUDY --spread ddp" in made.stderr
