"""``iso.design``: runs within what was said, from a fit and from nothing, as a study that is swept as it is."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import isoflop as iso
from isoflop.designing.beliefs import believe
from isoflop.designing.slopes import of_runs
from isoflop.designing.target import read_targets
from isoflop.errors import LawError, PlanError
from isoflop.laws import LAWS, PRESETS
from isoflop.laws.optimum import optimum
from isoflop.sweep.study import parse_study

TRUTH = PRESETS["chinchilla-hoffmann"].values
SPACE = iso.Space(n_params=(1e6, 1e9), shape={"n_ctx": 64, "n_vocab": 256})


@pytest.fixture(scope="module")
def fitted() -> iso.Fit:
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 3e8, 4), np.geomspace(1e8, 1e10, 4)))
    noise = np.exp(0.003 * np.random.default_rng(1).standard_normal(n.size))
    return iso.fit("chinchilla", {"N": n, "D": d, "L": LAWS["chinchilla"].predict(TRUTH, N=n, D=d) * noise})


@pytest.fixture(scope="module")
def found(fitted: iso.Fit) -> iso.Design:
    return iso.design(fitted, "1e20 FLOP", "L_opt(1e22)", space=SPACE, runs=12, draws=16)


def test_every_run_is_within_what_was_said(found: iso.Design) -> None:
    assert found.n_runs <= 12
    assert sum(run.flops * len(run.seeds) for run in found.runs) == pytest.approx(found.spent)
    assert found.spent <= found.budget
    for run in found.runs:
        assert run.shape is not None
        assert run.shape.n_nonembedding == run.n_params
        assert run.n_params >= 0.98e6
        assert 1.9 < run.n_tokens / run.n_params < 510
        assert run.flops == pytest.approx(6 * run.n_params * run.n_tokens)


def test_the_runs_so_far_make_the_interval_and_new_ones_make_it_narrower(found: iso.Design, fitted: iso.Fit) -> None:
    [aim] = found.aims
    assert aim.value == pytest.approx(fitted.allocate(1e22)["L"].value)
    assert aim.before[0] < aim.after[0] < aim.value < aim.after[1] < aim.before[1]
    assert found.noise == pytest.approx(fitted.residual_rms * np.sqrt(16 / 11))
    assert "fit to 16 runs" in found.source


def test_the_study_is_read_and_asks_for_these_runs(found: iso.Design) -> None:
    study = parse_study(tomllib.loads(found.to_toml(name="next")))
    asked = [(each.shape, each.tokens, each.seed) for group in study.groups for each in group.asked]
    assert sorted(asked, key=str) == sorted(
        ((run.shape, run.n_tokens, seed) for run in found.runs for seed in run.seeds), key=str
    )


def test_a_dry_run_of_the_study_forecasts_its_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    space = iso.Space(n_params=(1e3, 1e5), n_tokens=(2e3, 1e6), shape={"n_ctx": 16, "n_vocab": 256, "d_head": (4, 64)})
    small = iso.design(
        "chinchilla-besiroglu", 1e11, "parameters", space=space, noise=0.01, runs=5, draws=8,
        machine=iso.Machine(batch_tokens=256, stack=4),
    )  # fmt: skip
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question\n" * 60_000)
    small.save(tmp_path / "next.toml", corpus=str(tmp_path / "text.txt"), train={"evaluations": 1})
    done = subprocess.run(
        [sys.executable, "-m", "isoflop", "sweep", "next.toml", "--dry-run", "--json", "--workers", "1"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["to_make"] == small.n_runs


def test_a_run_that_was_made_is_repeated_with_another_seed(fitted: iso.Fit) -> None:
    made = {name: fitted.data.columns[name] for name in ("N", "D")}
    again = iso.design(fitted, 1e21, "alpha", candidates=made, runs=8, draws=8)
    assert again.runs
    assert all(run.seeds[0] == 1 for run in again.runs)
    with pytest.raises(PlanError, match="no shapes"):
        again.to_toml()


def test_a_floor_that_was_fitted_to_zero_is_not_taken_for_known() -> None:
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e8, 4), np.geomspace(1e8, 1e10, 4)))
    loss = 400 / n**0.34 + 400 / d**0.28
    fitted = iso.fit("chinchilla", {"N": n, "D": d, "L": loss * np.exp(0.02 * np.sin(7 * np.arange(16)))})
    found = iso.design(fitted, 1e17, "E", space=iso.Space(n_params=(1e6, 1e8)), runs=4, draws=8)
    assert fitted.params["E"] < 0.2
    assert found.aims[0].spread_before > 0.1


def test_no_run_takes_longer_than_its_slot(fitted: iso.Fit) -> None:
    alone, beside = (
        iso.design(fitted, 1e20, "L_opt(1e22)", space=SPACE, runs=12, draws=8, machine=iso.Machine(slots=slots))
        for slots in (1, 8)
    )
    assert max(run.flops for run in alone.runs) > 1e20 / 8
    assert max(run.flops for run in beside.runs) <= 1.01e20 / 8


def test_stacks_are_filled_where_steps_have_an_overhead(fitted: iso.Fit) -> None:
    def shapes(stack: int) -> float:
        machine = iso.Machine(stack=stack, step_overhead=1e15, batch_tokens=2**19)
        made = iso.design(fitted, 1e20, "L_opt(1e22)", space=SPACE, runs=12, draws=8, machine=machine)
        assert made.spent <= 1e20
        return made.n_runs / made.launches

    assert shapes(1) == 1
    assert shapes(8) > 1.4


def test_presumed_constants_need_no_run_and_say_so() -> None:
    found = iso.design("chinchilla-besiroglu", 1e20, ["N_opt(1e22)", "a"], space=SPACE, runs=8, draws=8)
    assert [aim.target for aim in found.aims] == ["N_opt(1e22)", "a"]
    assert any("no runs yet" in warning for warning in found.warnings)
    assert any("how noisy" in warning for warning in found.warnings)
    own = iso.design("kaplan", 1e20, "alpha_N", start=PRESETS["kaplan-table2"].values, space=SPACE, runs=8, draws=8)
    assert own.aims[0].value == pytest.approx(0.076)
    assert own.aims[0].spread_after < own.aims[0].spread_before


def test_a_law_of_batches_is_designed_with_them() -> None:
    law = iso.Law("L = E + A/N**alpha + K/S**gamma", inputs=("N", "S")) if _has_sympy() else None
    if law is None:
        pytest.skip("sympy is not installed")
    space = iso.Space(n_params=(1e6, 1e8), batches=(2**15, 2**18), shape={"n_ctx": 64, "n_vocab": 256})
    start = {"E": 1.7, "A": 400.0, "alpha": 0.34, "K": 500.0, "gamma": 0.6}
    found = iso.design(law, 1e19, "gamma", start=start, space=space, noise=0.01, runs=10, draws=8)
    assert {run.batch_tokens for run in found.runs} <= {2**15, 2**18}
    study = parse_study(tomllib.loads(found.to_toml()))
    assert {each.train.batch_tokens for each in study.groups[0].asked} == {run.batch_tokens for run in found.runs}
    with pytest.raises(PlanError, match="sees the batch"):
        iso.design(law, 1e19, "gamma", start=start, space=SPACE)


def _has_sympy() -> bool:
    try:
        import sympy
    except ImportError:
        return False
    return bool(sympy)


def test_slopes_are_those_of_the_law() -> None:
    at = {"N": np.array([1e7, 1e9]), "D": np.array([1e10, 3e8]), "C": np.array([1.0, 1.0])}
    known = believe("chinchilla-hoffmann", None, at, doubt=0.1, draws=3, seed=0)
    e, a, b, alpha, beta = known.natural.T[:, :, None]
    n, d = at["N"][None], at["D"][None]
    left, right = a / n**alpha, b / d**beta
    x, y = np.log(at["N"]) - known.coordinates.centre[0], np.log(at["D"]) - known.coordinates.centre[1]
    exact = np.stack([np.ones_like(left), left, right, -left * x, -right * y], axis=-1) / (e + left + right)[..., None]
    found = of_runs(known.law, known.coordinates, known.draws, at)
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-9)


def test_targets_are_what_the_law_says() -> None:
    law = LAWS["chinchilla"]
    params = np.array([[TRUTH[name] for name in law.names]])
    best = optimum(law, params, np.array([1e23]))
    asked = ["L_opt(1e23)", "N_opt(1e23 FLOP)", "D_opt(1e23)", "a", "b", "L(N=1e9, D=2e10)", "E", lambda p: p["A"] + 1]
    values = [float(each.of(params)[0]) for each in read_targets(asked, law)]
    expected = [best.loss[0, 0], best.n_params[0, 0], best.n_tokens[0, 0], best.a[0], best.b[0]]
    expected += [float(law.predict(TRUTH, N=1e9, D=2e10)), TRUTH["E"], TRUTH["A"] + 1]
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert [each.name for each in read_targets("parameters", law)] == list(law.names)


@pytest.mark.parametrize(
    ("law", "given", "error", "words"),
    [
        ("chinchilla-besiroglu", {"target": "alpah"}, PlanError, "alpha"),
        ("chinchilla-besiroglu", {"target": "L(N=1e9)"}, PlanError, "every input"),
        ("chinchilla-besiroglu", {"target": []}, PlanError, "needs a target"),
        ("chinchilla-besiroglu", {"budget": "lots"}, PlanError, "compute budget"),
        ("chinchilla-besiroglu", {"budget": 1e6}, PlanError, "smaller n_params"),
        ("chinchilla-besiroglu", {"noise": -1}, PlanError, "noise is -1"),
        ("chinchilla-besiroglu", {"misfit": 2}, PlanError, "share of the loss"),
        ("chinchilla-besiroglu", {"candidates": {"N": [1e6], "D": [1e8]}}, PlanError, "both a space and a table"),
        ("chinchilla-besiroglu", {"candidates": {"N": [1e6]}, "space": None}, PlanError, "column 'D'"),
        ("chinchilla", {}, PlanError, "without constants"),
        ("chinchilla", {"start": {"E": 1.7}}, LawError, "every constant"),
        ("chinchila", {}, LawError, "chinchila"),
        ("kaplan-table6", {}, PlanError, "no law of N and D"),
    ],
)
def test_what_cannot_be_is_refused_in_words(law: str, given: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        iso.design(law, **{"budget": 1e20, "target": "alpha", "space": SPACE, **given})


def test_a_design_is_plain_values_words_and_a_notebook_table(found: iso.Design) -> None:
    record = json.loads(json.dumps(found.to_dict()))
    assert record["n_runs"] == found.n_runs
    assert len(record["runs"]) == len(found.runs)
    assert "times narrower" in str(found)
    assert found._repr_html_().count("<tr>") == len(found.aims) + len(found.runs) + 2


def test_designing_from_a_published_set_compiles_nothing() -> None:
    code = (
        "import sys, isoflop as iso; iso.design('chinchilla-besiroglu', 1e20, 'alpha', runs=4, draws=4);"
        "print({'numba', 'torch', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
