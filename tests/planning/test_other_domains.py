"""Questions of laws that trade no N against D: transfer, reward models, vocabularies, vision, other modalities."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.fitting import LeastSquares, fit
from isoflop.laws import LAWS, PRESETS, Preset
from isoflop.laws.conversions import best_of_n_kl
from isoflop.planning import best_kl, buys, plan, transfer, vocabulary


def test_ten_times_the_parameters_transfer_as_much_as_a_hundred_times_the_data() -> None:
    """Hernandez 2021, section 1: from text to python b is about 2 a."""
    found = transfer(1e8, 1e6)
    assert found.transferred == pytest.approx(1.9e4 * 1e6**0.18 * 1e8**0.38)
    assert found.effective == found.transferred + 1e6
    assert found.multiplier == pytest.approx(found.effective / 1e6)
    assert transfer(1e9, 1e6).transferred == pytest.approx(transfer(1e8, 1e8).transferred, rel=0.06)
    assert found.worth == pytest.approx(2, abs=0.12)


def test_a_fit_of_transfer_has_intervals() -> None:
    d, n = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e4, 1e7, 5), np.geomspace(1e6, 1e9, 5)))
    law = LAWS["hernandez"]
    preset = PRESETS["hernandez-text"]
    assert isinstance(preset, Preset)
    made = law.predict(preset.values, D_F=d, N=n) * np.exp(0.05 * np.random.default_rng(0).standard_normal(d.size))
    found = transfer(1e8, 1e5, fit("hernandez", {"D_F": d, "N": n, "D_T": made}))
    assert found.intervals is not None
    low, high = found.intervals["transferred"]
    assert low < found.transferred < high
    assert json.loads(json.dumps(found.to_dict()))["label"] == "interpolation"
    assert "[" in str(found)


@pytest.mark.parametrize("method", ["gao-bon", "gao-rl"])
def test_no_other_divergence_has_a_higher_reward(method: str) -> None:
    constants = {"alpha": 0.7, "beta": 0.2}
    found = best_kl(constants, method=method)
    around = LAWS[method].predict(constants, d=np.sqrt(found.kl * np.geomspace(0.1, 10, 2001)))
    assert found.reward == pytest.approx(around.max(), rel=1e-6)
    assert around.argmax() == 1000
    if found.n is not None:
        assert best_of_n_kl(found.n) == pytest.approx(found.kl)


def test_rewards_of_ones_own_give_the_best_divergence_an_interval() -> None:
    d = np.linspace(0.5, 6, 24)
    reward = LAWS["gao-bon"].predict({"alpha": 0.7, "beta": 0.1}, d=d) + 0.01 * np.random.default_rng(
        0
    ).standard_normal(d.size)
    found = best_kl(fit("gao-bon", {"d": d, "R": reward}, objective=LeastSquares(log=False)))
    assert found.intervals is not None
    for name, truth in (("kl", 12.25), ("reward", 1.225)):
        low, high = found.intervals[name]
        assert low < truth < high
    assert found.kl == pytest.approx(12.25, rel=0.1)


def test_a_reward_without_a_highest_point_is_refused() -> None:
    with pytest.raises(PlanError, match="no highest point"):
        best_kl({"alpha": 0.7, "beta": -0.1})
    with pytest.raises(PlanError, match="constants"):
        best_kl({"alpha": 0.7})
    with pytest.raises(PlanError, match="gao-boon"):
        best_kl({"alpha": 0.7, "beta": 0.1}, method="gao-boon")


@pytest.mark.parametrize(("n_params", "width", "printed"), [(3e9, 3200, 43_000), (7e10, 8192, 216_000)])
def test_vocabularies_are_those_of_the_abstract(n_params: float, width: int, printed: int) -> None:
    """Tao 2024: 43K for the model of 3B that was trained with it, 216K for Llama 2's of 70B."""
    found = vocabulary(n_params, width)
    assert found.n_vocab == pytest.approx(printed, rel=0.08)
    assert found.n_vocab % 64 == 0
    assert found.share == pytest.approx(found.n_vocab * width / (n_params + found.n_vocab * width))


def test_larger_models_deserve_larger_vocabularies_by_the_printed_exponent() -> None:
    sizes = [vocabulary(n, 4096).n_vocab_params for n in (1e10, 1e12)]
    assert math.log(sizes[1] / sizes[0]) / math.log(100) == pytest.approx(0.83, abs=0.01)
    assert vocabulary(1e10, 4096, known=(1e10, 4096 * 64_000)).n_vocab == 64_000


def test_compute_for_an_error_of_vision_is_the_inverse_of_the_error_at_a_compute() -> None:
    """Zhai 2021: error .09 + .26 (C + .01)^-.35."""
    found = buys("zhai-fine-tune", compute=99.99)
    assert found.value == pytest.approx(0.09 + 0.26 * 100**-0.35)
    assert found.limit == pytest.approx(0.09)
    assert found.doubled == pytest.approx(0.26 * (199.99**-0.35 - 100**-0.35))
    assert buys("zhai-fine-tune", value=found.value).compute == pytest.approx(99.99)
    with pytest.raises(PlanError, match=r"never gives error = 0.08") as caught:
        buys("zhai-fine-tune", value=0.08)
    assert caught.value.hint == "its limit is 0.09"


def test_a_reward_that_rises_is_reached_likewise() -> None:
    constants = {"R_0": 0.2, "A": 0.6, "C_m": 100.0, "B": 2.0}
    preset = Preset("mine", "scalerl", constants, "here")
    assert buys(preset, compute=100).value == pytest.approx(0.4)
    assert buys(preset, value=0.5).compute == pytest.approx(100 * 3**0.5)
    assert buys(preset, value=0.5).limit == pytest.approx(0.6)


def test_a_fit_of_compute_alone_has_intervals_that_may_not_end() -> None:
    c = np.geomspace(1e15, 1e19, 20)
    loss = LAWS["power-c-floor"].predict({"E": 2.0, "K": 1e3, "gamma": 0.18}, C=c)
    fitted = fit("power-c-floor", {"C": c, "L": loss * np.exp(0.01 * np.random.default_rng(0).standard_normal(c.size))})
    found = buys(fitted, compute=1e20)
    assert found.intervals is not None
    assert found.intervals["value"][0] < found.value < found.intervals["value"][1]
    assert found.label.startswith("extrapolation")
    near = buys(fitted, value=float(fitted.params["E"]) + 0.01)
    assert near.intervals is not None
    assert near.intervals["compute"][1] == math.inf
    assert near.to_dict()["intervals"]["compute"][1] is None


@pytest.mark.parametrize(
    ("modality", "exponent", "floor"),
    [("language", 0.73, 0.0), ("image-8", 0.64, 3.13), ("video-vq", 0.71, 0.95), ("math", 0.69, 0.14)],
)
def test_each_modality_has_its_own_optimum(modality: str, exponent: float, floor: float) -> None:
    """Henighan 2020, Table 1."""
    small, large = (plan(f"{c} PF-days", f"henighan-{modality}") for c in (1, 100))
    assert math.log(large.n_params / small.n_params) / math.log(100) == pytest.approx(exponent)
    assert large.a == pytest.approx(exponent)
    assert 6 * large.n_params * large.n_tokens == pytest.approx(large.compute)
    sizes, losses = (PRESETS[f"henighan-{modality}-{kind}"] for kind in ("n-opt", "c"))
    assert isinstance(sizes, Preset)
    assert isinstance(losses, Preset)
    assert small.n_params == pytest.approx(LAWS[sizes.law].predict(sizes.values, C=1.0))
    assert large.loss == pytest.approx(LAWS[losses.law].predict(losses.values, C=100.0))
    assert large.loss > floor
    assert not any("separate power laws" in warning for warning in large.warnings)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: transfer(0, 1e6), "n_params = 0"),
        (lambda: transfer(1e8, 1e6, "zhai-fine-tune"), "needed: D_T of D_F, N"),
        (lambda: vocabulary(1e8, 0), "d_model = 0"),
        (lambda: buys("zhai-fine-tune"), "by `compute` or by `value`"),
        (lambda: buys("zhai-fine-tune", compute=-1), "compute = -1"),
        (lambda: buys("chinchilla-besiroglu", compute=1), "no law of compute alone"),
    ],
)
def test_wrong_questions_are_refused(ask: object, message: str) -> None:
    assert callable(ask)
    with pytest.raises(PlanError, match=message):
        ask()
