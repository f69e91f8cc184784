"""Budgets with too few tokens: a brute search, the paper's rule of four epochs, and where a stock ends."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.laws.catalogue import LAWS
from isoflop.laws.presets import PRESETS, Preset
from isoflop.planning import data_wall, plan, repeat

OF = PRESETS["muennighoff"]
assert isinstance(OF, Preset)


def loss(n: np.ndarray | float, d: np.ndarray | float, u: float) -> np.ndarray:
    assert isinstance(OF, Preset)
    law = LAWS["muennighoff"]
    at = {"N": np.asarray(n), "D": np.asarray(d), "U": np.broadcast_to(u, np.shape(n))}
    return np.asarray(law.code.evaluate([OF.values[name] for name in law.names], [at[name] for name in law.inputs]))


@pytest.mark.parametrize("unique", [1e9, 1e10, 1e11, 1e13])
def test_the_best_is_that_of_a_brute_search(unique: float) -> None:
    found = repeat(1e22, unique)
    n = np.geomspace(1e7, 1e13, 60_001)
    d = 1e22 / (6 * n)
    values = loss(n, d, unique)
    at = int(np.nanargmin(values))
    assert found.loss == pytest.approx(values[at], rel=1e-9)
    assert found.n_params == pytest.approx(n[at], rel=2e-3)
    assert found.n_params * found.n_tokens * 6 == pytest.approx(1e22)
    assert found.epochs == pytest.approx(found.n_tokens / unique)


def test_tokens_enough_are_as_good_as_any() -> None:
    found = repeat(1e22, 1e14)
    assert found.wasted == pytest.approx(0, abs=1e-9)
    assert found.n_params == pytest.approx(plan(1e22, "muennighoff-base").n_params, rel=1e-3)
    assert found.epochs < 1


def test_four_epochs_are_nearly_as_good_as_new_tokens() -> None:
    """Muennighoff 2023, section 1: 8.7e9 parameters on 178e9 tokens in four epochs end half a per cent above one epoch;
    more epochs are worth ever less, and a budget goes to epochs before parameters."""
    by_epochs = [float(loss(8.7e9, 178e9, 178e9 / epochs) / loss(8.7e9, 178e9, 178e9)) - 1 for epochs in (2, 4, 16, 40)]
    assert by_epochs[1] == pytest.approx(0.005, abs=0.003)
    assert by_epochs[0] < 0.002
    assert by_epochs[3] > 10 * by_epochs[1]
    fresh = plan(1e22, "muennighoff-base")
    four, forty = (repeat(1e22, fresh.n_tokens / epochs) for epochs in (4, 40))
    assert four.wasted < 0.25
    assert forty.wasted > 0.9
    assert forty.n_params < four.n_params < fresh.n_params
    assert forty.epochs > 40


def test_the_wall_is_where_the_optimum_asks_for_the_stock() -> None:
    for law in ("chinchilla-besiroglu", "chinchilla-hoffmann"):
        assert plan(data_wall(1.5e13, law), law).n_tokens == pytest.approx(1.5e13, rel=1e-6)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(PlanError, match="unique = 0"):
        repeat(1e22, 0)
    with pytest.raises(PlanError, match=r"needed: L of N, D, U\n.*lovelace, muennighoff"):
        repeat(1e22, 1e10, "chinchilla-besiroglu")
    with pytest.raises(PlanError, match="a stock of -1"):
        data_wall(-1)
    assert "epochs" in str(repeat(1e21, 1e9))
