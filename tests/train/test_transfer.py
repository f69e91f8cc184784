"""The best learning rate stays put over four times the width under muP, and falls under the standard one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isoflop import Shape
from isoflop.data import Corpus, Stream
from isoflop.train.architectures import build_model
from isoflop.train.optimizers import optimizer_of, set_rate
from isoflop.train.parametrisation import STANDARD, Parametrisation
from isoflop.train.schedules import Schedule

NARROW, WIDE, N_HEAD, N_CTX, BATCH, STEPS = 16, 64, 2, 32, 8, 100
SEEDS = (0, 1)
MUP = Parametrisation("mup", base_width=NARROW, base_head=NARROW // N_HEAD)


def final_loss(width: int, parametrisation: Parametrisation, peak: float, text: Stream, seed: int) -> float:
    """Mean training loss over the last quarter of a run."""
    shape = Shape(n_layer=2, d_model=width, n_head=N_HEAD, n_ctx=N_CTX, n_vocab=256)
    model = build_model(shape, torch.Generator().manual_seed(seed), parametrisation=parametrisation)
    optimizer = optimizer_of(model, lr=peak, betas=(0.9, 0.95), weight_decay=0.0)
    random, tokens, losses = np.random.default_rng(seed), torch.from_numpy(text.tokens.astype(np.int64)), []
    for multiplier in Schedule("linear", warmup=STEPS // 10).rates(STEPS):
        begins = torch.from_numpy(random.integers(len(tokens) - N_CTX, size=BATCH))
        windows = tokens[begins[:, None] + torch.arange(N_CTX + 1)]
        loss = model(windows[:, :-1], windows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        set_rate(optimizer, peak * float(multiplier))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return float(np.mean(losses[-STEPS // 4 :]))


def best_rate(width: int, parametrisation: Parametrisation, text: Stream, *, octaves: range) -> float:
    """log2 of the best peak: where the parabola through the best of the rates and its neighbours is lowest."""
    losses = np.array(
        [[final_loss(width, parametrisation, 2.0**octave, text, seed) for octave in octaves] for seed in SEEDS]
    ).mean(0)
    best = int(losses.argmin())
    assert 0 < best < len(octaves) - 1, f"the best rate lies inside: {losses}"
    curve, slope, _ = np.polyfit([-1.0, 0.0, 1.0], losses[best - 1 : best + 2], 2)
    return float(octaves[best] - slope / (2 * curve))


@pytest.mark.slow
def test_the_best_rate_transfers_over_width_under_mup_alone(corpus: Corpus) -> None:
    octaves = range(-7, -2)
    narrow = best_rate(NARROW, MUP, corpus.train, octaves=octaves)
    mup = best_rate(WIDE, MUP, corpus.train, octaves=octaves)
    standard = best_rate(WIDE, STANDARD, corpus.train, octaves=range(-9, -4))
    assert abs(mup - narrow) < 0.5, (narrow, mup, standard)
    assert standard - narrow < -1.0, (narrow, mup, standard)
