from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as fisher
from scipy.stats import t as student

from fitting.public_runs import besiroglu, gadre
from fitting.synthetic import TRUTHS, runs
from fitting.test_published import FIVE, muennighoff, preset
from fitting.truths import study
from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting import LAD, Fit, Huber, LeastSquares, Quantile, estimate_noise, fit
from isoflop.fitting.resampling import KINDS


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fit("chinchilla", runs("chinchilla", 0.003))


def line(noise: float = 0.01, seed: int = 0) -> Fit:
    return fit("power-n", runs("power-n", noise, seed))


def test_sandwich_of_a_line_is_hc3() -> None:
    result = line()
    x = np.stack([np.ones(30), np.log(result.data.columns["N"])], axis=1)
    y = np.log(result.data.columns["L"])
    inverse = np.linalg.inv(x.T @ x)
    residuals = y - x @ (inverse @ x.T @ y)
    leverage = np.einsum("ni,ij,nj->n", x, inverse, x)
    meat = (x * (residuals / (1 - leverage))[:, None] ** 2).T @ x
    robust = inverse @ meat @ inverse * 29 / 30
    assert result.covariance("sandwich")[1, 1] == pytest.approx(robust[1, 1], rel=1e-6)
    with pytest.raises(FitError, match="no covariance of kind 'sandwhich'"):
        result.covariance("sandwhich")


@pytest.mark.parametrize("objective", [LeastSquares(), Huber(1e-3), Huber(5e-3), LAD()], ids=str)
@pytest.mark.parametrize("kind", ["model", "sandwich"])
def test_standard_errors_are_the_spread_of_fits_to_new_noise(kind: str, objective: LeastSquares) -> None:
    columns = runs("chinchilla", n_sizes=6, n_tokens=6)
    # one spread for all runs; and large models three times as noisy as small ones, which only the sandwich may know
    noise = 0.004 * np.ones(36) if kind == "model" else 0.004 * (columns["N"] / 3e7) ** 0.32
    rng, estimates, errors = np.random.default_rng(0), [], []
    for _ in range(60):
        noisy = {**columns, "L": columns["L"] * np.exp(noise * rng.standard_normal(36))}
        result = fit("chinchilla", noisy, objective=objective)
        estimates.append([result.params["alpha"], result.params["beta"]])
        errors.append(np.sqrt(np.diag(result.covariance(kind)))[-2:])
    ratio = np.median(errors, axis=0) / np.std(estimates, axis=0)
    # of corners, estimated from 36 runs, robust errors come out wide rather than narrow
    assert ((ratio > 0.8) & (ratio < 1.7)).all(), ratio


def test_sandwich_of_the_240_points_is_as_wide_as_their_bootstrap() -> None:
    result = fit("chinchilla", besiroglu(), objective=Huber(1e-3))
    middle = np.diff(np.quantile(result.bootstrap(1000).draws, [0.16, 0.84], axis=0), axis=0)[0] / 2
    ratio = np.sqrt(np.diag(result.covariance("sandwich"))) / middle
    assert ((ratio > 0.6) & (ratio < 1.6)).all(), ratio


def test_clusters_of_one_run_are_runs() -> None:
    columns = runs("chinchilla", 0.003)
    alone = fit("chinchilla", columns, cluster=np.arange(30))
    plain = fit("chinchilla", columns)
    np.testing.assert_allclose(alone.covariance("sandwich"), plain.covariance("sandwich"), rtol=1e-5)
    assert alone.bootstrap(50).kind == "cluster"
    np.testing.assert_allclose(alone.bootstrap(50).draws, plain.bootstrap(50).draws, rtol=1e-6)


def test_sandwich_of_clusters_is_cr3_and_no_slower_for_long_curves() -> None:
    columns = {name: np.repeat(values, 2000) for name, values in runs("power-n", 0.0).items()}
    run = np.repeat(np.arange(30), 2000)
    rng = np.random.default_rng(0)
    noise = 0.01 * (rng.standard_normal(60000) + np.repeat(rng.standard_normal(30), 2000))
    result = fit("power-n", {**columns, "L": columns["L"] * np.exp(noise)}, cluster=run, weights=np.ones(60000))
    x = np.stack([np.ones(60000), np.log(columns["N"])], axis=1)
    y = np.log(columns["L"]) + noise
    whole = x.T @ x
    residuals = y - x @ np.linalg.solve(whole, x.T @ y)
    own = [(x[run == g], residuals[run == g]) for g in range(30)]
    # without a cluster the line moves by (X'X - X_g'X_g)^-1 X_g'r_g
    pulls = np.array([np.linalg.solve(whole - x_g.T @ x_g, x_g.T @ r_g) for x_g, r_g in own])
    expected = 29 / 30 * (pulls.T @ pulls)[1, 1]
    assert result.covariance("sandwich")[1, 1] == pytest.approx(expected, rel=1e-5)
    # beyond the runs that are resampled for a table, its intervals are by these errors
    low, high = result.interval("alpha", kind="sandwich")
    assert f"[{low:.4g}, {high:.4g}]" in str(result)
    assert "by standard errors between clusters" in str(result)


def test_a_table_says_where_runs_differ_in_noise() -> None:
    said = "standard errors take all runs for equally noisy"
    assert said in str(fit("chinchilla", besiroglu()))
    assert said not in str(fit("chinchilla", runs("chinchilla", 0.003)))


def test_copied_points_do_not_sharpen_a_clustered_fit() -> None:
    columns = {name: np.tile(values, 4) for name, values in runs("chinchilla", 0.003).items()}
    run = np.tile(np.arange(30), 4)
    once = fit("chinchilla", runs("chinchilla", 0.003))
    four = fit("chinchilla", {**columns, "run": run}, cluster="run", weights=np.ones(120))
    assert four.params == pytest.approx(once.params, rel=1e-6)
    np.testing.assert_allclose(four.covariance("sandwich"), once.covariance("sandwich"), rtol=1e-4)
    naive = fit("chinchilla", columns, weights=np.ones(120))
    assert naive.standard_errors["alpha"] < 0.6 * four.standard_errors["alpha"]


@pytest.mark.parametrize("objective", [LeastSquares(), Huber(5e-3), LAD()], ids=str)
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "cluster"])
def test_every_bootstrap_spreads_as_the_covariance_says(kind: str, objective: LeastSquares) -> None:
    result = fit("power-n", runs("power-n", 0.01, n_sizes=10, n_tokens=12), objective=objective)
    drawn = result.bootstrap(600, kind=kind)
    assert drawn.failed == 0
    spread = np.std(drawn.draws[:, 1])
    assert spread == pytest.approx(result.standard_errors["alpha"], rel=0.35)
    assert np.mean(drawn.draws[:, 1]) == pytest.approx(result.params["alpha"], abs=0.3 * spread)


def test_resamples_are_the_same_for_the_same_seed_and_kind(noisy: Fit) -> None:
    again = fit("chinchilla", runs("chinchilla", 0.003))
    for kind in ("wild", "residual", "parametric"):
        np.testing.assert_array_equal(noisy.bootstrap(20, kind=kind).draws, again.bootstrap(20, kind=kind).draws)
    with pytest.raises(FitError, match="no bootstrap of kind 'cases'"):
        noisy.bootstrap(kind="cases")
    with pytest.raises(FitError, match="the runs have no clusters"):
        noisy.bootstrap(kind="cluster")


def test_profile_of_a_line_is_its_t_interval() -> None:
    result = line()
    along = result.profile("alpha")
    reach = student.ppf(0.975, 28) * result.standard_errors["alpha"]
    expected = (result.params["alpha"] - reach, result.params["alpha"] + reach)
    assert along.interval == pytest.approx(expected, rel=1e-4)
    assert along.closed == (True, True)
    edge = result.objective * (1 + fisher.ppf(0.95, 1, 28) / 28)
    assert along.objective[np.argmin(np.abs(along.values - along.interval[1]))] == pytest.approx(edge, rel=1e-3)


@pytest.mark.parametrize("objective", [LeastSquares(), Huber(1e-3), LAD()], ids=str)
def test_profile_is_least_at_the_fit_and_never_below_it(objective: LeastSquares) -> None:
    result = fit("chinchilla", runs("chinchilla", 0.003), objective=objective)
    along = result.profile("beta")
    assert along.objective.min() >= result.objective * (1 - 1e-9)
    assert along.values[np.argmin(along.objective)] == pytest.approx(result.params["beta"], rel=1e-9)
    assert along.interval[0] < result.params["beta"] < along.interval[1]


def test_profile_of_a_tied_parameter_holds_its_partner() -> None:
    columns = runs("chinchilla", 0.003)
    tied = fit("chinchilla", columns, tie=[("alpha", "beta")])
    law = fit("chinchilla-tied", columns)
    assert tied.profile("beta").interval == pytest.approx(law.profile("alpha").interval, rel=1e-3)
    with pytest.raises(FitError, match="is fixed"):
        fit("chinchilla", columns, fix={"E": 1.8}).profile("E")


def test_likelihood_region_gives_the_profile_interval(noisy: Fit) -> None:
    for name in ("E", "alpha"):
        region = noisy.derive(lambda p, name=name: p[name], kind="profile").interval
        assert region == pytest.approx(noisy.interval(name, kind="profile"), rel=2e-3)


@pytest.mark.parametrize("objective", [LAD(), Quantile(0.2), Huber(1e-4)], ids=str)
def test_likelihood_region_of_absolute_deviations_gives_the_profile_interval(objective: LAD) -> None:
    result = fit("chinchilla", runs("chinchilla", 0.005), objective=objective)
    for name in ("E", "alpha"):
        low, high = result.interval(name, kind="profile")
        region = result.derive(lambda p, name=name: p[name], kind="profile").interval
        np.testing.assert_allclose(region, (low, high), atol=0.005 * (high - low))
    for quantity in result.allocate(1e22, kind="profile").values():
        assert quantity.interval[0] < quantity.value < quantity.interval[1]


def test_derived_intervals_of_all_kinds_agree_roughly(noisy: Fit) -> None:
    widths = []
    for kind in ("case", "residual", "wild", "parametric", "sandwich", "profile"):
        a = noisy.derive(lambda p: p["beta"] / (p["alpha"] + p["beta"]), kind=kind)
        assert a.interval[0] < a.value < a.interval[1]
        widths.append(a.interval[1] - a.interval[0])
    assert max(widths) < 2 * min(widths)


def test_allocation_has_intervals_and_its_exponents_add_to_one(noisy: Fit) -> None:
    best = noisy.allocate(1e22)
    assert best["a"].value + best["b"].value == pytest.approx(1)
    assert best["a"].value == pytest.approx(noisy.params["beta"] / (noisy.params["alpha"] + noisy.params["beta"]))
    assert 6 * best["N"].value * best["D"].value == pytest.approx(1e22)
    for derived in best.values():
        assert derived.interval[0] < derived.value < derived.interval[1]


def test_prediction_interval_widens_away_from_the_runs_and_for_a_new_run(noisy: Fit) -> None:
    n, d = np.array([3e7, 1e12]), np.array([3e9, 1e14])
    low, high = noisy.predict_interval(N=n, D=d)
    width = (high - low) / noisy.predict(N=n, D=d)
    assert (low < high).all()
    assert width[1] > 2 * width[0]
    wider_low, wider_high = noisy.predict_interval(N=n, D=d, new_run=True)
    assert (wider_low < low).all()
    assert (high < wider_high).all()


def test_muennighoffs_r_d_is_flagged_as_flat() -> None:
    base = {name: value for name, value in preset("muennighoff").values.items() if name not in ("R_D", "R_N")}
    ranges = {"R_D": (1.0, 200.0), "R_N": (0.5, 50.0)}
    found = fit("muennighoff", muennighoff(), objective=Huber(1e-3), fix=base, bounds=ranges)
    flat = [doubt for doubt in found.doubts if doubt.kind == "flat"]
    assert [doubt.parameters for doubt in flat] == [("R_D",)]
    assert "R_D is not determined: from" in str(found)
    assert flat[0].cure is not None
    # more repetitions of the same tokens, never more unique tokens than tokens
    assert flat[0].cure["D"] > flat[0].cure["U"]
    along = found.profile("R_D")
    assert not along.closed[1]
    middle = (along.values > 40) & (along.values < 120)
    assert along.objective[middle].max() < along.objective.min() * 1.0012


def test_gadres_five_runs_identify_gadres_law() -> None:
    """M has two values alone, at one of them four budgets: rank, not counts, says what can be told."""
    data = gadre("c4_original")
    multiples = data["D"] / (20 * data["N"])
    five = np.array([(n, round(m, 2)) in FIVE for n, m in zip(data["N"], multiples, strict=True)])
    n, d, loss = (data[name][five] for name in "NDL")
    found = fit("gadre", {"C": 6 * n * d, "M": d / n, "L": loss}, objective=LeastSquares(log=False))
    assert (round(found.params["E"], 4), round(found.params["eta"], 4)) == (1.5083, 0.1212)
    assert (found.params["a"], found.params["b"]) == pytest.approx((141.28, 189.52), abs=0.006)


def test_one_m_does_not_identify_gadres_law() -> None:
    c = np.geomspace(1e18, 1e21, 8)
    with pytest.raises(NotIdentifiable, match=r"1 distinct value of M .*cannot be separated"):
        fit("gadre", {"C": c, "M": np.full(8, 20.0), "L": 1.8 + 300 * c**-0.12})


def test_tied_law_along_one_line_lacks_rank_whatever_is_fixed() -> None:
    columns = runs("chinchilla", 0.003)
    columns["D"] = 20 * columns["N"] ** 1.0
    columns["N"], columns["D"] = np.geomspace(1e6, 1e9, 30), 20 * np.geomspace(1e6, 1e9, 30)
    with pytest.raises(NotIdentifiable, match="A and B cannot be separated"):
        fit("chinchilla", columns, tie=[("alpha", "beta")])


def test_doubts_and_clusters_survive_saving(tmp_path) -> None:
    columns = runs("chinchilla", 0.2, seed=4)
    before = fit("chinchilla", columns, cluster=np.repeat(np.arange(10), 3))
    before.save(tmp_path / "fit.json")
    after = Fit.load(tmp_path / "fit.json")
    assert before.doubts
    assert after.doubts == before.doubts
    np.testing.assert_array_equal(after.data.cluster, before.data.cluster)


def test_clusters_that_cannot_be_are_refused() -> None:
    columns = runs("chinchilla", 0.003)
    for given, text in (("series", "no column 'series'"), (np.zeros(30), "one group"), ([1, 2], "cluster has 2")):
        with pytest.raises(FitError, match=text):
            fit("chinchilla", columns, cluster=given)


def repeats(seed: float, evaluation: float, shared: bool) -> dict[str, np.ndarray]:
    """40 shapes, 3 seeds each, 12 evaluation sets each: the same ones for all, or each run's own."""
    rng = np.random.default_rng(1)
    n = np.repeat(np.geomspace(1e6, 1e9, 40), 36)
    run = np.repeat(np.arange(120), 12)
    sets = np.tile(np.arange(12), 120) if shared else np.arange(1440)
    loss = 5 * (n / 1e6) ** -0.05
    noise = seed * rng.standard_normal(120)[run] + evaluation * rng.standard_normal(sets.max() + 1)[sets]
    return {"N": n, "D": np.full(1440, 1e9), "L": loss * np.exp(noise), "run": run, "eval": sets}


@pytest.mark.parametrize("shared", [False, True])
def test_seed_and_evaluation_noise_are_told_apart(shared: bool) -> None:
    noise = estimate_noise(repeats(0.004, 0.002, shared), run="run")
    # 80 free differences of seeds: three standard deviations of their root mean square
    assert noise.seed == pytest.approx(0.004, rel=3 / np.sqrt(2 * 80))
    # twelve shared sets have eleven free differences, a run's own ones 1320 in all
    assert noise.evaluation == pytest.approx(0.002, rel=3 / np.sqrt(2 * (11 if shared else 1320)))
    assert noise.shared == shared
    assert noise.of_new_run() == pytest.approx(np.hypot(noise.seed, noise.evaluation))
    assert noise.of_new_run(same_evaluation=True) == noise.seed


def test_noise_of_one_evaluation_set_is_the_seeds() -> None:
    data = repeats(0.004, 0.002, shared=True)
    one = {name: values[data["eval"] == 0] for name, values in data.items()}
    noise = estimate_noise(one, run="run")
    assert noise.evaluation is None
    assert noise.shared
    found = fit("power-n", {name: one[name] for name in ("N", "L")} | {"run": one["run"]}, sigma=noise.sigma)
    assert found.residual_rms == pytest.approx(1.0, abs=0.2)
    with pytest.raises(FitError, match="the seed's noise does not show"):
        estimate_noise(runs("chinchilla"))


def test_truths_are_reproducible() -> None:
    np.testing.assert_array_equal(study(3).runs["L"], study(3).runs["L"])
    assert study(3).truth != study(4).truth
    assert set(TRUTHS["chinchilla"]) < set(study(0).truth)
