from __future__ import annotations

import math

import numpy as np
import pytest

from isoflop.errors import LawError
from isoflop.laws import LAWS, PRESETS, Allocation, Preset, get_preset


def test_every_set_names_its_source_and_conventions() -> None:
    for preset in PRESETS.values():
        assert preset.source
        assert preset.n_convention in {"total", "non-embedding"}
        assert preset.d_unit == "tokens"
        assert preset.c_unit in {"FLOP", "PF-day"}
        assert preset.log_base == "e"
        assert preset.verified


def test_every_set_has_exactly_the_parameters_of_its_law() -> None:
    for preset in PRESETS.values():
        if isinstance(preset, Preset):
            assert tuple(preset.values) == LAWS[preset.law].names


def test_hoffmann_unrounded_rounds_to_the_printed_digits() -> None:
    exact = get_preset("chinchilla-hoffmann")
    printed = get_preset("chinchilla-hoffmann-rounded")
    assert isinstance(exact, Preset)
    assert isinstance(printed, Preset)
    assert {k: round(v, 2 if v < 2 else 1) for k, v in exact.values.items()} == {
        **printed.values,
        "beta": 0.28,
        "E": 1.69,
    }


def test_besiroglu_values_are_the_notebook_point_and_lie_in_its_intervals() -> None:
    preset = get_preset("chinchilla-besiroglu")
    assert isinstance(preset, Preset)
    assert preset.values["A"] == pytest.approx(482.006, abs=5e-4)
    assert preset.values["B"] == pytest.approx(2085.434, abs=5e-4)
    assert preset.values["E"] == pytest.approx(1.81686, abs=5e-6)
    assert set(preset.intervals) == set(preset.values)
    for name, (low, high) in preset.intervals.items():
        assert low < preset.values[name] < high


def test_kaplan_sets_predict_their_own_numbers() -> None:
    joint = get_preset("kaplan-table2")
    assert isinstance(joint, Preset)
    loss = LAWS["kaplan"].predict(joint.values, N=joint.values["N_c"], D=1e40)
    np.testing.assert_allclose(loss, 1.0, rtol=1e-9)
    table6 = get_preset("kaplan-table6")
    assert isinstance(table6, Allocation)
    assert table6.n_params == (1.3e9, 0.73)
    assert table6.n_tokens == (2e10, 0.27)
    assert math.isclose(table6.n_params[1] + table6.n_tokens[1], 1.0)


def test_unknown_set_names_the_nearest() -> None:
    with pytest.raises(LawError, match="unknown preset 'kaplan-table'") as caught:
        get_preset("kaplan-table")
    assert "kaplan-table" in str(caught.value.hint)
