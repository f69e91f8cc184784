from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from isoflop.errors import LawError
from isoflop.laws import LAWS, MULTI_POWER, PRESETS, Allocation, Preset, get_preset


def test_every_set_names_its_source_and_conventions() -> None:
    for published in PRESETS.values():
        assert published.source
        assert published.n_convention in {"total", "non-embedding", ""}
        if isinstance(published, Preset):
            assert published.log_base == ("10" if published.law == "clark" else "e")
            assert published.c_unit in {"FLOP", "PF-day", "TPUv3 core-day"}


def test_every_set_has_exactly_the_parameters_of_its_law_inside_their_domains() -> None:
    for preset in PRESETS.values():
        if not isinstance(preset, Preset):
            continue
        law = MULTI_POWER if preset.law == "multi-power" else LAWS[preset.law]
        assert tuple(preset.values) == law.names
        for parameter in law.parameters:
            assert parameter.domain[0] <= preset.values[parameter.name] <= parameter.domain[1]


def test_intervals_hold_their_values() -> None:
    for published in PRESETS.values():
        if not isinstance(published, Allocation):
            for name, (low, high) in published.intervals.items():
                assert low - 0.006 < published.values[name] < high + 0.006  # two printed digits


def test_what_nobody_confirmed_is_marked() -> None:
    unverified = {published.name for published in PRESETS.values() if not published.verified}
    assert {"zhai-10-shot", "minicpm-batch", "porian-lr", "schaipp-batch", "rosenfeld-ptb"} <= unverified
    assert not unverified & {"chinchilla-hoffmann", "kaplan-table5-n", "deepseek-lr", "gadre-c4", "kumar"}


def test_unrounded_sets_round_to_the_printed_ones() -> None:
    for name in ("gadre-c4", "gadre-redpajama", "gadre-refinedweb", "muennighoff-base"):
        exact, printed = get_preset(name), get_preset(f"{name}-rounded")
        assert isinstance(exact, Preset)
        assert isinstance(printed, Preset)
        for key, rounded in printed.values.items():
            digits = 0 if rounded > 100 else 3 if rounded < 1 else 2
            assert round(exact.values[key], digits) == rounded


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


def test_laws_and_sets_are_read_when_they_are_asked_for_and_named_as_they_are_called() -> None:
    code = (
        "from isoflop.laws import LAWS, PRESETS\n"
        "PRESETS['chinchilla-besiroglu'], LAWS['chinchilla'].code, 'kaplan' in LAWS\n"
        "print(*LAWS._made, *PRESETS._made)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["chinchilla", "chinchilla-besiroglu"]
    assert list(LAWS) == [law.name for law in LAWS.values()]
    assert list(PRESETS) == [published.name for published in PRESETS.values()]
    assert PRESETS["chinchilla-besiroglu"] is PRESETS["chinchilla-besiroglu"]
    with pytest.raises(KeyError):
        LAWS["chinchila"]
