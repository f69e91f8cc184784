"""What chosen runs are worth: the small, fast form of what ``bench/design.py`` and ``bench/design_real.py`` print."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import isoflop as iso
from isoflop.laws import LAWS, PRESETS

NOISE = 0.002


def bench(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", root / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def simulated(root: Path) -> ModuleType:
    return bench(root, "design")


@pytest.mark.parametrize("world", range(4))
def test_the_exponent_is_twice_as_sure_as_by_grids_and_profiles_of_as_many_runs_and_flops(
    simulated: ModuleType, world: int
) -> None:
    truth = simulated.truths()[world]
    chosen = simulated.chosen(truth, "a", NOISE, 25, 0.0)
    assert chosen["N"].size <= 25
    assert 6 * chosen["N"] @ chosen["D"] <= simulated.BUDGET * (1 + 1e-9)
    width, _ = simulated.spread(truth, chosen, "a", NOISE, 300, 0)
    for name, of in simulated.DESIGNS.items():
        other, _ = simulated.spread(truth, of(25), "a", NOISE, 300, 0)
        assert other > (1.9 if name == "profiles" else 2.2) * width, name


@pytest.mark.parametrize("world", range(3))
def test_the_loss_at_the_optimum_is_surer_than_by_grids_and_profiles(simulated: ModuleType, world: int) -> None:
    truth = simulated.truths()[world]
    chosen = simulated.chosen(truth, "L_opt(1e23)", NOISE, 25, 0.0)
    width, bias = simulated.spread(truth, chosen, "L_opt(1e23)", NOISE, 300, 0)
    assert abs(bias) < width / 4
    for name, of in simulated.DESIGNS.items():
        assert simulated.spread(truth, of(25), "L_opt(1e23)", NOISE, 300, 0)[0] > 1.1 * width, name


@pytest.mark.parametrize("world", [1, 3])
def test_a_second_round_chosen_from_the_first_makes_the_size_surer(simulated: ModuleType, world: int) -> None:
    truth, target = simulated.truths()[world], "N_opt(1e23)"
    once, _ = simulated.spread(truth, simulated.chosen(truth, target, NOISE, 25, 0.0), target, NOISE, 300, 0)
    widths = []
    for seed in range(3):
        runs = simulated.chosen_in_two(truth, target, NOISE, 25, seed)
        assert runs["N"].size <= 25
        assert 6 * runs["N"] @ runs["D"] <= simulated.BUDGET * (1 + 1e-9)
        widths.append(simulated.spread(truth, runs, target, NOISE, 300, 0)[0])
    assert np.median(widths) < 0.97 * once


def test_a_law_that_is_doubted_misleads_less_where_it_is_wrong(simulated: ModuleType) -> None:
    truth = simulated.truths()[3]
    believed, doubted = (
        simulated.spread(truth, simulated.chosen(truth, "L_opt(1e23)", NOISE, 25, misfit), "L_opt(1e23)", NOISE, 300, 0)
        for misfit in (0.0, 0.02)
    )
    assert abs(doubted[1]) < abs(believed[1]) / 2


def test_the_interval_that_is_expected_is_the_one_that_comes(simulated: ModuleType) -> None:
    truth = PRESETS["chinchilla-besiroglu"].values
    found = iso.design(
        "chinchilla-besiroglu", 1e20, "N_opt(1e22)", space=iso.Space(n_params=(1e6, 1e9)), noise=NOISE, misfit=0,
        doubt=0.05, runs=25,
    )  # fmt: skip
    law = LAWS["chinchilla"]
    world = simulated.Truth("itself", law, truth, law, truth)
    times = [len(run.seeds) for run in found.runs]
    runs = {
        "N": np.repeat([run.n_params for run in found.runs], times),
        "D": np.repeat([run.n_tokens for run in found.runs], times),
    }
    width, _ = simulated.spread(world, runs, "N_opt(1e22)", NOISE, 1000, 0)
    assert np.log(found.aims[0].after[1] / found.aims[0].after[0]) == pytest.approx(width, rel=0.15)


@pytest.mark.parametrize("which", [1, 3])
def test_twenty_real_runs_that_are_chosen_tell_more_of_the_others_than_most_other_twenty(
    root: Path, which: int
) -> None:
    real = bench(root, "design_real")
    if not real.PORIAN.is_file():
        pytest.skip(f"no {real.PORIAN}")
    runs = real.real_runs(real.SETS[which])
    budget = 0.1 * float(runs["C"].sum())
    picked = real.picked_by_design(runs, budget, 0, 0.05)
    assert len(set(picked.tolist())) == len(picked) <= real.CHOSEN
    assert runs["C"][picked].sum() <= budget
    own = real.error_on_others(runs, picked)
    for name, pick in real.PICKED.items():
        others = [real.error_on_others(runs, real.affordable(pick, runs, budget, seed)) for seed in range(9)]
        assert own < np.median(others), name
