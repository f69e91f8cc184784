"""The held-out loss is a mean over windows, and its standard error knows that windows of one document are alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from isoflop.data import Corpus, windows
from isoflop.train.evaluate import evaluate, held_out_loss
from isoflop.train.model import Transformer
from isoflop.train.spec import TrainSpec


def brute_standard_error(values: np.ndarray) -> float:
    """By Geyer's initial monotone sequence, covariance by covariance."""
    n, apart = len(values), values - values.mean()
    covariances = [sum(apart[i] * apart[i + lag] for i in range(n - lag)) / n for lag in range(n)]
    variance, least = -covariances[0], math.inf
    for first, second in zip(covariances[::2], covariances[1::2], strict=False):
        if first + second <= 0:
            break
        least = min(least, first + second)
        variance += 2 * least
    return float(np.sqrt(max(variance, values.var(ddof=1)) / n))


def test_evaluation_is_the_mean_over_windows_with_its_standard_error(
    make_spec: Callable[..., TrainSpec], corpus: Corpus
) -> None:
    model = Transformer(make_spec().shape, torch.Generator().manual_seed(0))
    cut = torch.from_numpy(windows(corpus.held_out.tokens[: 10 * 16 + 1], 16).astype(np.int64))
    whole, pieces = evaluate(model, cut), evaluate(model, cut, batch=3)
    each = np.array([float(model(w[None, :-1], w[None, 1:]).detach()) for w in cut])
    for measured in (whole, pieces):
        assert measured.mean == pytest.approx(each.mean(), rel=1e-5)
        assert measured.standard_error == pytest.approx(brute_standard_error(each), rel=1e-4)
        assert measured.n_tokens == 160
    assert model.training


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_standard_error_holds_where_windows_are_like_their_neighbours(memory: float) -> None:
    random = np.random.default_rng(3)
    values = [random.normal(size=200) / math.sqrt(1 - memory**2)]
    for shock in random.normal(size=(999, 200)):
        values.append(memory * values[-1] + shock)
    texts = np.stack(values, axis=1)
    errors = [held_out_loss(torch.from_numpy(text)[:, None]).standard_error for text in texts]
    assert errors[0] == pytest.approx(brute_standard_error(texts[0]))
    truth = 1 / ((1 - memory) * math.sqrt(1000))  # of the mean of a first-order autoregression
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(truth, rel=0.05)


def test_the_standard_error_of_independent_windows_is_never_less_than_plain() -> None:
    for values in ([1.0, 2.0], [1.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0]):
        found = held_out_loss(torch.tensor(values)[:, None]).standard_error
        assert found == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)))
