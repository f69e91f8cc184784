"""Published laws, refitted to the runs that they were fitted to: the printed digits, or the better optimum."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from fitting.public_runs import DATA, besiroglu, gadre
from isoflop.fitting import Huber, LeastSquares, fit
from isoflop.laws import LAWS, PRESETS, Preset

GADRE = {
    "c4_original": (1.5083, 141.28, 189.52, 0.1212),
    "rpj": (1.8366, 212.24, 366.69, 0.1364),
    "rw_original": (1.7345, 157.12, 246.21, 0.1272),
}


FIVE = {(10569312, 1), (78914048, 1), (153677376, 1), (411616256, 1), (10569312, 16)}
"""N and multiples of D = 20 N."""


def muennighoff() -> dict[str, np.ndarray]:
    """182 runs with repeated data; U unique tokens."""
    path = DATA / "muennighoff2023" / "data_constrained_runs.csv"
    if not path.exists():
        pytest.skip("public runs not found beside the checkout: shared/data/muennighoff2023")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {
        name: np.array([float(row[key]) for row in rows])
        for name, key in zip("NDUL", ("N", "D", "U", "loss"), strict=True)
    }


def preset(name: str) -> Preset:
    found = PRESETS[name]
    assert isinstance(found, Preset)
    return found


@pytest.mark.parametrize("dataset", GADRE)
def test_gadres_five_runs_give_the_printed_law(dataset: str) -> None:
    """d = 96, 512, 576 and 1024 at D = 20 N and d = 96 at D = 320 N; unweighted least squares of the loss itself."""
    runs = gadre(dataset)
    multiples = runs["D"] / (20 * runs["N"])
    five = np.array([(n, round(m, 2)) in FIVE for n, m in zip(runs["N"], multiples, strict=True)])
    assert five.sum() == 5
    n, d, loss = (runs[name][five] for name in "NDL")
    params = fit("chinchilla-tied", {"N": n, "D": d, "L": loss}, objective=LeastSquares(log=False)).params
    # with C = 6 N D and M = D/N the law is the tied one: alpha = 2 eta, A = a/6**eta, B = b/6**eta
    eta = params["alpha"] / 2
    a, b = params["A"] * 6**eta, params["B"] * 6**eta
    assert (round(params["E"], 4), round(eta, 4)) == (GADRE[dataset][0], GADRE[dataset][3])
    assert (a, b) == pytest.approx(GADRE[dataset][1:3], abs=0.006)
    gadre_law = LAWS["gadre"].predict({"E": params["E"], "a": a, "b": b, "eta": eta}, C=6 * n * d, M=d / n)
    tied = LAWS["chinchilla-tied"].predict(params, N=n, D=d)
    np.testing.assert_allclose(gadre_law, tied, rtol=1e-12)


def test_kaplans_joint_law_on_chinchillas_runs_has_other_minima_and_the_certificate_says_so() -> None:
    certificate = fit("kaplan", besiroglu(), objective=Huber(1e-3)).certificate
    assert certificate.converged
    assert 0.3 < certificate.hit_rate < 0.9
    assert certificate.spread > 1e-3


def muennighoff_objective(r_d: float, r_n: float) -> float:
    """Huber (delta 1e-3) of log loss over the 182 runs, summed."""
    runs = muennighoff()
    values = {**preset("muennighoff").values, "R_D": r_d, "R_N": r_n}
    r = np.abs(np.log(LAWS["muennighoff"].predict(values, **{name: runs[name] for name in "NDU"}) / runs["L"]))
    return float(np.where(r <= 1e-3, r**2 / 2, 1e-3 * (r - 5e-4)).sum())


def test_muennighoffs_runs_have_a_lower_optimum_than_the_published_one_and_do_not_determine_it() -> None:
    base = {name: value for name, value in preset("muennighoff").values.items() if name not in ("R_D", "R_N")}
    found = fit("muennighoff", muennighoff(), objective=Huber(1e-3), fix=base)
    assert muennighoff_objective(15.387756, 5.309743) == pytest.approx(0.015825935, abs=5e-10)
    assert muennighoff_objective(46.99, 2.3296) == pytest.approx(0.01580738, abs=5e-9)
    assert found.objective == pytest.approx(0.0158046625, abs=1e-10)
    assert found.objective < muennighoff_objective(46.99, 2.3296) - 2.7e-6  # lower than the lowest known before
    assert (found.params["R_D"], found.params["R_N"]) == pytest.approx((95.365, 1.706), rel=1e-4)
    recomputed = preset("muennighoff-recomputed").values
    assert (found.params["R_D"], found.params["R_N"]) == pytest.approx((recomputed["R_D"], recomputed["R_N"]), rel=1e-6)
    low, high = found.certificate.rivals["R_D"]
    assert low < 50 < 95 < high
    assert any(note.startswith("R_D is hardly determined") for note in found.notes)


def test_no_repetition_of_muennighoffs_data_does_better_than_the_optimum_found() -> None:
    ends = np.geomspace(1.0, 1e5, 120)
    profile = [min(muennighoff_objective(r_d, r_n) for r_n in np.geomspace(0.1, 1e4, 60)) for r_d in ends]
    assert min(profile) >= 0.0158046624
    flat = ends[np.array(profile) < 0.0158046625 * 1.002]
    assert flat.min() < 17
    assert flat.max() > 250


def test_muennighoffs_runs_with_all_parameters_free_run_to_a_bound_and_say_so() -> None:
    found = fit("muennighoff", muennighoff(), objective=Huber(1e-3))
    assert found.objective <= 0.0065899388
    assert found.certificate.at_bounds == ("R_N",)


@pytest.mark.parametrize(
    ("router", "name", "rms"),
    [("S-BASE", "clark-s-base", 0.0086), ("HASH", "clark-hash", 0.0118), ("RL-R", "clark-rl-r", 0.0176)],
)
def test_clarks_constants_predict_the_final_losses(router: str, name: str, rms: float) -> None:
    path = DATA / "clark2022_moe" / "curves.csv.gz"
    if not path.exists():
        pytest.skip("public curves not found beside the checkout: shared/data/clark2022_moe")
    final: dict[str, dict[str, str]] = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            chosen = row["router_type"] in (router, "Dense") and row["k"] == "1" and row["routing_frequency"] == "0.5"
            later = row["hyper_id"] not in final or float(row["step"]) > float(final[row["hyper_id"]]["step"])
            if chosen and later:
                final[row["hyper_id"]] = row
    columns = ("dense_parameter_count", "num_experts", "loss_validation")
    n, experts, loss = (np.array([float(row[key]) for row in final.values()]) for key in columns)
    predicted = LAWS["clark"].predict(preset(name).values, N=n, E=experts)
    assert np.sqrt(np.mean(np.log(predicted / loss) ** 2)) <= rms + 5e-5
