"""Transformers trained on a source of known entropy: the floor that a fit finds under their losses is that entropy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import isoflop as iso
from isoflop.data import load_corpus, synthetic, window_loss
from isoflop.train.loop import train_stack
from isoflop.train.spec import TrainSpec

SOURCE = "synthetic:zipf-markov?n_vocab=32&order=1&tokens=3e6"
N_CTX, BATCH, SEEDS, WIDTH = 16, 512, 3, 32
STEPS = (100, 200, 400, 800, 1600, 3200)


def runs() -> Iterator[tuple[float, float, float]]:
    """D, held-out loss and its standard error of a model as wide as the source has tokens: it can learn every pair."""
    corpus = load_corpus(SOURCE)
    shape = iso.Shape(n_layer=1, d_model=WIDTH, n_head=2, n_ctx=N_CTX, n_vocab=corpus.n_vocab)
    for n_steps in STEPS:
        specs = [
            TrainSpec(
                shape=shape, corpus=corpus.fingerprint, tokens=n_steps * BATCH, unique_tokens=n_steps * BATCH,
                batch_tokens=BATCH, learning_rate=0.014, final_learning_rate=0.0, warmup_steps=n_steps // 20,
                weight_decay=0.0, beta2=0.99, evaluations=1, eval_tokens=200_000, engine="native", seed=seed,
                data_seed=seed,
            )
            for seed in range(SEEDS)
        ]  # fmt: skip
        for outcome in train_stack(specs, [corpus] * SEEDS, [None] * SEEDS):
            yield specs[0].tokens, outcome.held_out.mean, outcome.held_out.standard_error


@pytest.mark.slow
def test_the_fitted_floor_of_trained_transformers_is_the_entropy_of_their_source() -> None:
    torch.set_num_threads(1)
    entropy = window_loss(synthetic(SOURCE), N_CTX)
    d, losses, errors = np.array(list(runs())).T
    assert (losses > entropy - 3 * errors).all(), "no model is better than the source allows"
    fit = iso.fit("power-d-floor", {"D": d, "L": losses})
    low, high = fit.interval("E")
    se = errors.max()  # of the held-out tokens, which all runs share
    assert low - 2 * se <= entropy <= high + 2 * se
    assert fit.params["E"] == pytest.approx(entropy, rel=0.01)
    assert losses.max() > 1.05 * entropy, "what the floor lies under is well above it"
