"""From study to runs: every number decided, nothing promised that the corpus cannot give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.data import Corpus, Stream
from isoflop.errors import CorpusError, SpecError
from isoflop.runs import RunStore, read_studies, run_id
from isoflop.sweep.resolve import keep_study, load_corpora, resolve, resolve_groups
from isoflop.sweep.study import parse_study
from isoflop.train.partings import Parting, partings
from isoflop.train.spec import TrainSpec

SHAPE = {"n_layer": 1, "d_model": 8, "n_head": 1, "n_ctx": 16, "n_vocab": 256}
PLAIN = {"batch_tokens": 64, "learning_rate": 0.01, "eval_tokens": 512}


def corpus_of(n_train: int, n_held_out: int = 1000, n_vocab: int = 256) -> Corpus:
    train, held_out = (Stream(np.zeros(n, np.uint16), np.array([0, n])) for n in (n_train, n_held_out))
    return Corpus("zeros", "fingerprint", n_vocab, train, held_out)


def specs(n_train: int = 10**6, train: dict[str, Any] | None = None, **study: Any) -> list[TrainSpec]:
    values = {"shapes": [SHAPE], **study, "train": PLAIN | (train or {})}
    return resolve(parse_study(values), corpus_of(n_train))


def test_runs_are_shapes_by_tokens_by_seeds() -> None:
    runs = specs(shapes=[SHAPE | {"d_model": [8, 16]}], tokens=[6400, 12800, 25600], train={"seeds": [0, 1]})
    expected = {(d, n, seed) for d in (8, 16) for n in (6400, 12800, 25600) for seed in (0, 1)}
    assert {(run.shape.d_model, run.tokens, run.seed) for run in runs} == expected
    assert len(runs) == len(expected)


@given(st.floats(1, 1e6), st.floats(1, 5000))
def test_tokens_are_rounded_to_whole_steps_of_whole_contexts(tokens: float, batch: float) -> None:
    [run] = specs(n_train=2 * 10**6, tokens=[tokens], train={"batch_tokens": batch})
    assert run.batch_tokens % 16 == 0
    assert abs(run.batch_tokens - batch) <= 8 or run.batch_tokens == 16
    assert run.tokens % run.batch_tokens == 0
    assert abs(run.tokens - tokens) <= run.batch_tokens / 2 or run.n_steps == 1
    assert run.unique_tokens == run.tokens


def test_budgets_give_tokens_by_c_over_6n() -> None:
    runs = specs(shapes=[SHAPE | {"d_model": [8, 16, 32]}], budgets=[1e9, 4e9], train={"batch_tokens": 16})
    assert len(runs) == 6
    for run, budget in zip(runs, [1e9, 4e9] * 3, strict=True):
        assert run.counts()["C"] == pytest.approx(budget, rel=6 * run.shape.n_nonembedding * 8.001 / budget)


def test_runs_that_come_out_the_same_are_made_once() -> None:
    assert len(specs(tokens=[6400, 6400.0, 6401, 6399])) == 1
    shape = parse_study({"shapes": [SHAPE], "tokens": [1]}).groups[0].shapes[0]
    assert len(specs(tokens=[6400], budgets=[6.0 * shape.n_nonembedding * 6400])) == 1


def test_rules_follow_the_run() -> None:
    rules = {"learning_rate": {"scale": 2, "N": -0.5, "D": -0.1}, "batch_tokens": {"scale": 0.8, "D": 0.4}}
    for run, tokens in zip(specs(tokens=[6400, 512000], train=rules), (6400, 512000), strict=True):
        assert run.learning_rate == pytest.approx(2 * run.shape.n_nonembedding**-0.5 * tokens**-0.1)
        assert run.batch_tokens == 16 * round(0.8 * tokens**0.4 / 16)


@pytest.mark.parametrize(("train", "parts"), [({"measurements": ["noise"]}, 2), ({"accumulate": 3}, 3)])
def test_batches_of_a_rule_have_whole_contexts_in_each_part(train: dict[str, Any], parts: int) -> None:
    rule = {"scale": 2.0, "D": 0.4}
    tokens = [float(d) for d in np.geomspace(2e3, 9e5, 30)]
    plain, parted = (specs(tokens=tokens, train={"batch_tokens": rule, **each}) for each in ({}, train))
    assert any(run.batch_windows % parts for run in plain)
    for run, other in zip(plain, parted, strict=True):
        assert other.batch_windows % parts == 0
        assert other.batch_windows == run.batch_windows or run.batch_windows % parts
    with pytest.raises(SpecError, match=r"batch_tokens = 80|accumulate = 3"):
        specs(tokens=[6400.0], train={"batch_tokens": 80, **train})
    with pytest.raises(SpecError, match=r"batch_tokens = 16|accumulate = 3"):
        specs(tokens=[6400.0], train={"batch_tokens": {"scale": 16.0}, **train})
    drawn = {"runs": 8, "tokens": [1e3, 1e5], "batch_tokens": [64.0, 1024.0]}
    assert not any(run.batch_windows % parts for run in specs(sample=drawn, train=train))


def test_published_rules_follow_the_run_by_name() -> None:
    named = {"learning_rate": "step-law", "batch_tokens": "step-law"}
    [run] = specs(tokens=[512000], train=named)
    assert run.learning_rate == pytest.approx(1.79 * run.shape.n_nonembedding**-0.713 * 512000**0.307)
    assert run.batch_tokens == 16 * round(0.58 * 512000**0.571 / 16)


def test_rules_of_the_loss_ask_for_the_one_expected() -> None:
    with pytest.raises(SpecError, match=r"batch_tokens = 'minicpm' follows the loss.*\n.*expected_loss"):
        specs(tokens=[6400], train={"batch_tokens": "minicpm"})
    [run] = specs(n_train=10**7, tokens=[6400000], train={"batch_tokens": "kaplan", "expected_loss": 20})
    assert run.batch_tokens == 16 * round(2.1e8 / 20 ** (1 / 0.21) / 16)


def test_schedules_are_shares_of_the_run() -> None:
    [run] = specs(tokens=[6400], train={"final_learning_rate_ratio": 0.1, "warmup_share": 0.25, "learning_rate": 0.02})
    assert run.warmup_steps == 25
    assert run.final_learning_rate == pytest.approx(0.002)


def test_runs_have_what_the_study_says_of_training() -> None:
    said = {"schedule": "wsd", "optimizer": "muon", "dropout": 0.1, "z_loss": 1e-4, "averaging": "ema"}
    [run] = specs(tokens=[6400], train={**said, "warmup_steps": 7, "decay_share": 0.3})
    assert {name: getattr(run, name) for name in said} == said
    assert (run.warmup_steps, run.decay_steps) == (7, 30)


def test_a_warm_up_longer_than_a_run_is_refused() -> None:
    with pytest.raises(SpecError, match="warm-up of 3000 steps is longer than the run, 100 steps"):
        specs(tokens=[6400], train={"warmup_steps": 3000})


def test_heads_of_several_widths_need_the_one_of_the_base() -> None:
    mup = {"parametrisation": "mup", "base_width": 8}
    shapes = [SHAPE | {"d_model": [8, 16]}]
    with pytest.raises(SpecError, match=r"'mup' of heads of 8, 16 channels needs base_head\n.*d_head"):
        specs(shapes=shapes, tokens=[6400], train=mup)
    runs = specs(shapes=shapes, tokens=[6400], train={**mup, "base_head": 8})
    assert [(run.base_width, run.base_head) for run in runs] == [(8, 8), (8, 8)]
    assert len(specs(shapes=[SHAPE, SHAPE | {"d_model": 16, "n_head": 2}], tokens=[6400], train=mup)) == 2


def test_budgets_of_experts_count_those_that_a_token_uses() -> None:
    experts = SHAPE | {"n_expert": 4, "top_k": 1}
    [run] = specs(shapes=[experts], budgets=[1e9], train={"batch_tokens": 16})
    assert run.counts()["C"] == pytest.approx(1e9, rel=1e-3)


def test_more_tokens_than_the_corpus_has_are_refused_with_the_epochs() -> None:
    with pytest.raises(
        CorpusError, match=r"64,000 tokens asked of corpus 'stdlib', which has 16,000.*: 4.00 epochs\n.*allow_repeats"
    ):
        specs(n_train=16001, tokens=[64000])


def test_repeats_are_made_where_they_are_allowed() -> None:
    [run] = specs(n_train=16001, tokens=[64000], train={"allow_repeats": True})
    assert (run.tokens, run.unique_tokens) == (64000, 16000)


def test_the_last_window_of_the_corpus_can_be_used() -> None:
    [run] = specs(n_train=6401, tokens=[6400])
    assert run.unique_tokens == 6400
    with pytest.raises(CorpusError, match=r"1\.00 epochs"):
        specs(n_train=6400, tokens=[6400])


def test_unique_tokens_are_drawn_again_and_again() -> None:
    runs = specs(tokens=[640, 6400], train={"unique_tokens": 1024})
    assert [(run.tokens, run.unique_tokens) for run in runs] == [(640, 640), (6400, 1024)]


@pytest.mark.parametrize(
    ("n_train", "n_held_out", "what"), [(16, 1000, "train on"), (1000, 16, "hold out"), (1, 1, "train on")]
)
def test_a_corpus_shorter_than_one_context_is_refused(n_train: int, n_held_out: int, what: str) -> None:
    study = parse_study({"shapes": [SHAPE], "tokens": [64], "train": PLAIN})
    with pytest.raises(CorpusError, match=rf"tokens to {what}, less than one context of 16"):
        resolve(study, corpus_of(n_train, n_held_out))


def test_transfer_is_into_the_same_tokens(tmp_path: Path) -> None:
    for name, text in (("own", "some, text\n"), ("other", "text, so me\n")):
        (tmp_path / f"{name}.txt").write_text(text * 200)
    np.save(tmp_path / "own.npy", np.arange(1000, dtype=np.uint16) % 200)
    ask = {"shapes": [SHAPE], "tokens": [64], "train": PLAIN | {"transfer": [str(tmp_path / "other.txt")]}}
    with pytest.raises(CorpusError, match=r"other.txt', which is text: corpus .*own.npy' holds tokens"):
        load_corpora(parse_study(ask | {"corpus": str(tmp_path / "own.npy")}), tmp_path / "cache")
    characters = {"source": str(tmp_path / "own.txt"), "tokenizer": "char"}
    own, [other] = load_corpora(parse_study(ask | {"corpus": characters}), tmp_path / "cache")
    assert own.tokenizer == other.tokenizer
    (tmp_path / "own.txt").write_text("some text\n" * 201)
    with pytest.raises(CorpusError, match=r"',' is none of the 8 characters .*\n.*takes any text"):
        load_corpora(parse_study(ask | {"corpus": characters}), tmp_path / "cache")


def test_a_vocabulary_too_small_for_the_corpus_is_refused() -> None:
    study = parse_study({"shapes": [SHAPE, SHAPE | {"n_vocab": 100}], "tokens": [64], "train": PLAIN})
    with pytest.raises(CorpusError, match=r"n_vocab = 100 is less than the 256 tokens.*\n.*n_vocab = 256 or more"):
        resolve(study, corpus_of(1000))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"seeds": [-1]}, "seed = -1 must be"),
        ({"beta2": 1.0}, "beta2 = 1.0 must be"),
        ({"unique_tokens": 8}, "unique_tokens = 8 must be at least one batch, batch_tokens = 64"),
        ({"unique_tokens": -5}, "unique_tokens = -5 must be"),
        ({"eval_tokens": 8}, "eval_tokens = 8 must be at least one context"),
        ({"evaluations": 0}, "evaluations = 0 must be"),
        ({"weight_decay": float("nan")}, "weight_decay = nan must be"),
    ],
)
def test_settings_out_of_their_domain_are_refused_by_name(train: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        specs(tokens=[6400], train=train)


def test_resolving_twice_gives_the_same_runs(make_specs: Callable[..., list[TrainSpec]]) -> None:
    assert make_specs() == make_specs()
    assert [run.to_dict() for run in make_specs()] == [run.to_dict() for run in make_specs()]


def test_runs_of_two_groups_are_made_once_and_named_in_both(tmp_path: Path) -> None:
    groups = [
        {"name": "sizes", "shapes": [SHAPE | {"d_model": [8, 16]}]},
        {"name": "batches", "purpose": "batch", "train": {"batch_scan": [1, 2]}},
    ]
    study = parse_study({"shapes": [SHAPE], "tokens": [6400], "train": PLAIN, "group": groups})
    by_group = resolve_groups(study, corpus_of(10**6))
    assert [(run.shape.d_model, run.batch_tokens) for run in by_group["sizes"]] == [(8, 64), (16, 64)]
    assert [(run.shape.d_model, run.batch_tokens) for run in by_group["batches"]] == [(8, 64), (8, 128)]
    assert len(resolve(study, corpus_of(10**6))) == 3
    store = RunStore(tmp_path)
    keep_study(store, study, by_group)
    kept = read_studies(store)["study"]
    assert [(group.name, group.purpose, len(group.runs)) for group in kept.groups] == [
        ("sizes", "scaling", 2),
        ("batches", "batch", 2),
    ]
    assert set(kept.groups[0].runs) & set(kept.groups[1].runs) == {run_id(by_group["sizes"][0].to_dict())}


def test_a_learning_rate_may_follow_the_batch() -> None:
    train = {"batch_scan": [1, 4], "learning_rate": {"scale": 0.01, "B": 0.5}}
    assert [run.learning_rate for run in specs(tokens=[6400], train=train)] == pytest.approx([0.08, 0.16])
    with pytest.raises(SpecError, match="batch_tokens cannot follow B"):
        specs(tokens=[6400], train={"batch_tokens": {"scale": 64, "B": 1}})


def sorted_partings(runs: list[TrainSpec]) -> list[Parting]:
    return [parting for _, parting in sorted(partings(runs).items())]


def test_runs_on_one_trunk_differ_in_their_length_alone() -> None:
    train = {
        "one_trunk": True,
        "schedule": "wsd",
        "batch_tokens": {"scale": 0.4, "D": 0.5},
        "learning_rate": {"scale": 1, "D": -0.2},
    }
    runs = specs(tokens=[6400, 12800, 25600], train=train)
    assert [run.tokens for run in runs] == [6400, 12800, 25600]
    for name in ("batch_tokens", "learning_rate", "warmup_steps", "unique_tokens"):
        assert len({getattr(run, name) for run in runs}) == 1, name
    assert [run.n_steps - parting.step for run, parting in zip(runs, sorted_partings(runs), strict=False)] == [20, 40]
    alone = specs(tokens=[25600], train=train)
    assert (runs[-1].batch_tokens, runs[-1].learning_rate) == (alone[0].batch_tokens, alone[0].learning_rate)
    with pytest.raises(SpecError, match=r"one_trunk: runs of schedule 'cosine' share no steps.*\n.*wsd"):
        specs(tokens=[6400], train=train | {"schedule": "cosine"})
