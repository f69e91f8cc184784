from __future__ import annotations

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.fitting import fit
from isoflop.laws import LAWS, PRESETS, Preset
from isoflop.planning import vary

KUMAR = {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.36, "g_w": 2.7, "g_a": 2.2, "g_kv": 0.96}


def by_hand(name: str, spent: float, **at: float) -> tuple[float, float]:
    """N and the loss of the best of many N, of N D = spent."""
    preset = PRESETS[name]
    assert isinstance(preset, Preset)
    n = np.geomspace(1e6, 1e14, 40_001)
    losses = LAWS[preset.law].predict(preset.values, N=n, D=spent / n, **at)
    return float(n[losses.argmin()]), float(losses.min())


def test_each_precision_has_its_own_optimum_and_fewer_bits_buy_more_of_both() -> None:
    found = vary(1e22, "kumar", [3, 4, 8, 16])
    for i, bits in enumerate(found["P"]):
        n, loss = by_hand("kumar", 1e22 / 6 * 16 / bits, P_w=bits, P_a=bits, P_kv=bits)
        assert found["N"][i] == pytest.approx(n, rel=1e-3)
        assert found["L"][i] == pytest.approx(loss, rel=1e-9)
        assert 6 * found["N"][i] * found["D"][i] * bits / 16 == pytest.approx(1e22)
    assert (np.diff(found["N"]) < 0).all()
    assert 4 <= vary(1e22, "kumar", np.arange(2, 17))["P"][vary(1e22, "kumar", np.arange(2, 17))["L"].argmin()] < 8


def test_experts_at_rest_let_all_parameters_grow_and_the_active_ones_shrink() -> None:
    """Abnar 2025: at a fixed budget the best sparse model has more parameters, fewer of them active."""
    found = vary("1e22 FLOP", "abnar", [0.0, 0.5, 0.9, 0.98])
    for i, at_rest in enumerate(found["S"]):
        n, loss = by_hand("abnar", 1e22 / 6 / (1 - at_rest), S=at_rest)
        assert found["N"][i] == pytest.approx(n, rel=1e-3)
        assert found["L"][i] == pytest.approx(loss, rel=1e-9)
    assert (np.diff(found["N"]) > 0).all()
    assert (np.diff(found["N"] * (1 - found["S"])) < 0).all()
    assert (np.diff(found["L"]) < 0).all()


@pytest.mark.parametrize(
    ("compute", "granularity", "active", "tokens", "loss"),
    [
        (2.95e18, 8, 100e6, 4.37e9, 3.133),
        (1.93e20, 16, 1e9, 28.94e9, 2.491),
        (1.41e21, 16, 3e9, 72.90e9, 2.245),
        (6.46e21, 32, 7e9, 137.60e9, 2.076),
        (4.16e23, 32, 70e9, 941.07e9, 1.694),
        (5.69e24, 64, 300e9, 2.96e12, 1.503),
        (4.97e25, 64, 1e12, 7.94e12, 1.367),
    ],
)
def test_optimal_granularities_are_those_krajewski_prints(
    compute: float, granularity: int, active: float, tokens: float, loss: float
) -> None:
    """Krajewski 2024, the table of compute-optimal models, by constants of two and three digits."""
    found = vary(compute, "krajewski-moe", [1, 2, 4, 8, 16, 32, 64])
    best = found["L"].argmin()
    assert found["G"][best] == granularity
    assert found["N_active"][best] == pytest.approx(active, rel=0.03)
    assert found["D"][best] == pytest.approx(tokens, rel=0.03)
    assert found["L"][best] == pytest.approx(loss, rel=0.01)


@pytest.mark.parametrize(("router", "cutoff"), [("s-base", 937e9), ("rl-r", 85e9), ("hash", 83e9)])
def test_more_experts_help_below_the_size_clark_prints(router: str, cutoff: float) -> None:
    """Clark 2022, Table 3: the cutoff is 10^(-b/c), and c is printed with one or two digits."""
    preset = PRESETS[f"clark-{router}"]
    assert isinstance(preset, Preset)
    b, c = (preset.values[name] for name in "bc")
    low, high = (10 ** (-b / (c + digit)) for digit in (0.0005, -0.0005))
    assert low < cutoff < high
    own = 10 ** (-b / c)
    for size, sign in ((own / 2, -1), (own * 2, 1)):
        found = vary(6 * size * 1.3e11, preset, [1, 8, 64, 512])
        assert found["N"] == pytest.approx(size)
        assert (sign * np.diff(found["L"]) > 0).all()


def test_a_fit_of_such_a_law_has_intervals() -> None:
    grid = np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4), [3.0, 5.0, 8.0, 16.0])
    n, d, bits = (axis.ravel() for axis in grid)
    inputs = {"N": n, "D": d, "P_w": bits, "P_a": bits, "P_kv": bits}
    noise = np.exp(0.001 * np.random.default_rng(0).standard_normal(n.size))
    fixed = {"g_a": KUMAR["g_a"], "g_kv": KUMAR["g_kv"]}  # one width for all: their parts are not told apart
    fitted = fit("kumar", {**inputs, "L": LAWS["kumar"].predict(KUMAR, **inputs) * noise}, fix=fixed)
    found = vary(1e21, fitted, [4, 16])
    for name in "NDL":
        assert (found[f"{name}_low"] < found[name]).all()
        assert (found[name] < found[f"{name}_high"]).all()


def test_wrong_axes_are_refused() -> None:
    with pytest.raises(PlanError, match="nothing beside N and D") as caught:
        vary(1e22, "chinchilla-besiroglu", [1])
    assert caught.value.hint == "laws: kumar, abnar, krajewski, clark"
    with pytest.raises(PlanError, match="S = "):
        vary(1e22, "abnar", [0.5, 1.0])
