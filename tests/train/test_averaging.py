"""Averages of weights are the sums they are defined by, and leave the training as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from isoflop.errors import SpecError
from isoflop.train.averaging import Average

STEPS = 40


def averaged(name: str, share: float) -> tuple[np.ndarray, list[float]]:
    """The weight of a model of one, 1 after the first step, 4 after the second, 9 ...; its average after each."""
    model = nn.Linear(1, 1, bias=False)
    average, after = Average(model, name, n_steps=STEPS, share=share), []
    for step in range(1, STEPS + 1):
        with torch.no_grad():
            model.weight.fill_(float(step**2))
        average.update(step)
        with average.applied():
            after.append(model.weight.item())
        assert model.weight.item() == step**2
    return np.arange(1, STEPS + 1) ** 2, after


def test_the_tail_is_the_mean_of_the_last_steps() -> None:
    weights, after = averaged("tail", 0.25)
    assert after[-1] == pytest.approx(weights[-10:].mean())
    assert after[34] == pytest.approx(weights[30:35].mean())
    np.testing.assert_allclose(after[:31], weights[:31])


def test_the_exponential_average_forgets_over_its_span() -> None:
    weights, after = averaged("ema", 0.125)
    for step in (1, 2, 17, STEPS):
        shares = 0.8 ** np.arange(step)[::-1]
        assert after[step - 1] == pytest.approx((shares * weights[:step]).sum() / shares.sum(), rel=1e-5)


@pytest.mark.parametrize(("name", "share"), [("none", 0.5), ("ema", 0.0), ("tail", 0.0)])
def test_no_averaging_and_spans_of_one_step_keep_the_weights(name: str, share: float) -> None:
    weights, after = averaged(name, share)
    np.testing.assert_array_equal(after, weights)


def test_an_error_amid_the_average_gives_the_weights_back() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, "tail", n_steps=2, share=1.0)
    before = model.weight.item()
    average.update(1)
    with torch.no_grad():
        model.weight.add_(1.0)
    average.update(2)
    with average.applied():
        assert model.weight.item() == pytest.approx(before + 0.5)
    with pytest.raises(RuntimeError, match="shapes"), average.applied():
        model(torch.zeros(3))
    assert model.weight.item() == pytest.approx(before + 1)


def test_an_unknown_average_is_named_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown averaging 'emma'\n.*did you mean 'ema'"):
        Average(nn.Linear(1, 1), "emma", n_steps=3)
