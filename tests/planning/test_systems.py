"""Two systems: the gain that runs were made with is found, and what its interval says holds as often as it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import FitError
from isoflop.fitting import FitData, read_file
from isoflop.laws import get_law
from isoflop.planning import compare_systems, split_systems
from isoflop.planning.pairs import Paired, paired
from isoflop.planning.systems import compare_all, gain_of, one_law, saving

Columns = dict[str, np.ndarray]

TRUE = {"E": 1.7, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.37, "rho_N": 1.1, "rho_D": 1.4}
N = np.repeat(np.geomspace(2e7, 2e9, 6), 5)
D = N * np.tile(np.geomspace(5, 160, 5), 6)
GADRE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "gadre2024" / "runs_flat.csv"


def systems(seed: int, noise: float = 0.004, shared: float = 0.0, **changes: float) -> tuple[Columns, Columns]:
    """Runs of both, with noise of their own and noise that runs of one size share."""
    rng = np.random.default_rng(seed)
    common = shared * rng.standard_normal(N.size)
    made = []
    for other in (0.0, 1.0):
        loss = get_law("two-systems").predict(TRUE | changes, N=N, D=D, other=other)
        made.append({"N": N, "D": D, "L": loss * np.exp(noise * rng.standard_normal(N.size) + common)})
    return made[0], made[1]


def test_without_noise_the_gain_is_exact_and_nothing_crosses() -> None:
    found = compare_systems(*systems(0, noise=1e-9), names=("AdamW", "Muon"))
    assert found.gain.value == pytest.approx(1.1 * 1.4, rel=1e-5)
    assert found.rho["rho_N"].value == pytest.approx(1.1, rel=1e-5)
    assert found.separate is not None
    for gain in found.separate.gains.values():
        assert gain.value == pytest.approx(1.1 * 1.4, rel=1e-3)
    assert "Muon needs 1.54x [1.54, 1.54] less compute than AdamW" in str(found)


@pytest.mark.parametrize("shared", [0.0, 0.02])
def test_ninety_percent_intervals_hold_the_gain_nine_times_in_ten(shared: float) -> None:
    """Also where runs of one size lie off the law to the same side, by five times their own noise."""
    intervals = np.array([gain_of(one_law(*systems(i, shared=shared), level=0.9)).interval for i in range(30)])
    inside = (intervals[:, 0] < 1.54) & (intervals[:, 1] > 1.54)
    assert inside.sum() >= 23  # of 30 binomial draws at 0.9 fewer come once in 170
    assert np.median(intervals[:, 1] / intervals[:, 0]) < 1.25


def test_the_exchange_of_the_systems_inverts_the_gain() -> None:
    first, second = systems(1)
    there, back = compare_systems(first, second), compare_systems(second, first)
    assert there.gain.value * back.gain.value == pytest.approx(1, rel=1e-4)
    assert "more compute" in str(back)
    assert saving(back.gain).endswith("more")


def test_the_paired_test_sees_a_change_and_only_where_there_is_one() -> None:
    def test(**changes: float) -> list[Paired]:
        made = (paired(*map(FitData, systems(i, **changes)), ("N", "D"), 0.95) for i in range(100))
        return [found for found in made if found is not None]

    same = test(rho_N=1.0, rho_D=1.0)
    assert {found.n_pairs for found in same} == {N.size}
    assert sum(found.p_value < 0.05 for found in same) <= 11  # of 100 binomial draws at 0.05 more come once in 230
    better = test()[0]
    assert better.p_value < 1e-3
    assert better.interval[1] < 0


def test_systems_of_different_exponents_are_told_and_their_crossing_found() -> None:
    """The other system falls faster from a worse start; both frontiers are known, and so is where they meet."""
    law = get_law("power-c-floor")
    c = np.geomspace(1e17, 1e22, 24)
    rng = np.random.default_rng(3)
    slow, fast = {"E": 1.7, "K": 500.0, "gamma": 0.13}, {"E": 1.7, "K": 500.0 * 1e20**0.03, "gamma": 0.16}
    first, second = ({"C": c, "L": law.predict(p, C=c) * np.exp(0.002 * rng.standard_normal(24))} for p in (slow, fast))
    found = compare_systems(first, second).separate
    assert found is not None
    assert found.p_value < 1e-6
    low, high = found.crossing.interval
    assert low < 1e20 < high
    assert found.crossing.compute == pytest.approx(1e20, rel=0.3)
    assert found.crossing.share > 0.99
    gains = [gain.value for gain in found.gains.values()]
    assert gains == sorted(gains)  # from the highest loss to the lowest
    assert gains[0] < 1 < gains[-1]


def test_runs_along_the_optimum_alone_give_the_gain_of_compute() -> None:
    c = np.geomspace(1e17, 1e22, 12)
    true = {"E": 1.7, "K": 500.0, "gamma": 0.13, "rho_C": 0.7}
    first, second = ({"C": c, "L": get_law("two-systems-c").predict(true, C=c, other=o)} for o in (0.0, 1.0))
    found = compare_systems(first, second)
    assert found.gain.value == pytest.approx(0.7, rel=1e-4)
    assert "needs 1.43x [1.43, 1.43] more compute" in str(found)


def test_systems_without_a_common_range_are_warned_of() -> None:
    first, second = systems(2)
    low = {name: values[N < 3e8] for name, values in first.items()}
    high = {name: values[N > 3e8] for name, values in second.items()}
    found = compare_systems(low, high)
    assert any("no N lies in the range of both" in warning for warning in found.warnings)
    assert found.paired is None


def test_what_cannot_be_compared_is_refused_in_words() -> None:
    first, second = systems(0)
    with pytest.raises(FitError, match="have the columns D, L, N and D, N") as caught:
        compare_systems(first, {"N": N, "D": D})
    assert "--column L=NAME" in str(caught.value)
    with pytest.raises(FitError, match="no column 'optimiser'") as caught:
        split_systems({**first, "optimizer": ["adamw"] * N.size}, "optimiser")
    assert "did you mean 'optimizer'?" in str(caught.value)
    with pytest.raises(FitError, match="one system, adamw"):
        split_systems({**first, "optimizer": ["adamw"] * N.size}, "optimizer")
    with pytest.raises(FitError, match="no system 'muon'"):
        compare_all({"Muon": first, "AdamW": second}, "muon")


def test_the_answer_is_json() -> None:
    record = json.loads(json.dumps(compare_systems(*systems(0)).to_dict()))
    assert record["law"] == "two-systems"
    assert record["gain"]["interval"][0] < record["gain"]["value"]
    assert record["paired"]["n_pairs"] == 30


@pytest.mark.skipif(not GADRE.exists(), reason="needs the public runs of shared/data/gadre2024")
def test_models_trained_on_c4_need_less_compute_for_its_loss_than_those_trained_on_other_corpora() -> None:
    """Gadre 2024: 33 shapes and lengths trained on each of three corpora, all evaluated on C4."""
    runs = split_systems(read_file(GADRE, {"L": "loss__c4_val"}), "dataset")
    for found in compare_all(runs, "c4_original"):
        assert found.gain.interval[1] < 1
        assert found.paired is not None
        assert found.paired.n_pairs == 33
        assert found.paired.p_value < 1e-3
        assert found.paired.change > 0
