"""Rules by name are the published laws: their constants, their N, their C."""

from __future__ import annotations

import math

import pytest

from isoflop import Shape
from isoflop.errors import SpecError
from isoflop.laws import PRESETS, Preset
from isoflop.train.rules import RULES, PowerRule, value_of

GPT2 = Shape(n_layer=12, d_model=768, n_head=12, n_ctx=1024, n_vocab=50257)
D = 1e10


def rate(name: str) -> float:
    return value_of("learning_rate", name, shape=GPT2, tokens=D)


def batch(name: str, loss: float | None = None) -> float:
    return value_of("batch_tokens", name, shape=GPT2, tokens=D, loss=loss)


def test_kaplans_rate_falls_with_the_logarithm_of_n() -> None:
    assert rate("kaplan") == pytest.approx(0.003239 - 0.0001395 * math.log(GPT2.n_nonembedding))
    assert rate("kaplan") == pytest.approx(6.9e-4, rel=0.01)


def test_kaplans_rate_ends_where_it_falls_below_nought() -> None:
    huge = Shape(n_layer=96, d_model=12288, n_head=96, n_ctx=2048, n_vocab=50257)
    with pytest.raises(SpecError, match=r"learning_rate = 'kaplan' gives -0.000\d+ for N = 1\d\d,.*\n.*breaks above"):
        value_of("learning_rate", "kaplan", shape=huge, tokens=D)


def test_step_law_follows_n_and_d() -> None:
    assert rate("step-law") == pytest.approx(1.79 * GPT2.n_nonembedding**-0.713 * D**0.307)
    assert batch("step-law") == pytest.approx(0.58 * D**0.571)


def test_deepseeks_compute_counts_attention_and_no_vocabulary() -> None:
    compute = (72 * 12 * 768**2 + 12 * 12 * 768 * 1024) * D
    assert rate("deepseek") == pytest.approx(0.3118 * compute**-0.125)
    assert batch("deepseek") == pytest.approx(0.2920 * compute**0.3271)


def test_batches_that_follow_the_loss_take_the_expected_one() -> None:
    assert batch("kaplan", 3.0) == pytest.approx(2.1e8 / 3 ** (1 / 0.21))
    assert batch("minicpm", 3.0) == pytest.approx(1.211e9 / 3**6.2393)
    for name in ("kaplan", "minicpm"):
        with pytest.raises(SpecError, match=rf"batch_tokens = '{name}' follows the loss.*\n.*say expected_loss"):
            batch(name)


@pytest.mark.parametrize("setting", RULES)
def test_every_rule_gives_a_sensible_value_for_a_hundred_million_parameters(setting: str) -> None:
    between = {"learning_rate": (1e-4, 1e-2), "batch_tokens": (1e5, 3e6)}[setting]
    for name, rule in RULES[setting].items():
        assert isinstance(PRESETS[rule.preset], Preset)
        assert between[0] < value_of(setting, name, shape=GPT2, tokens=D, loss=3.0) < between[1], name


def test_numbers_and_powers_are_taken_as_they_are() -> None:
    assert value_of("learning_rate", 3e-4, shape=GPT2, tokens=D) == 3e-4
    power = PowerRule(scale=2.0, N=-0.5, D=0.25)
    assert value_of("learning_rate", power, shape=GPT2, tokens=D) == 2 * GPT2.n_nonembedding**-0.5 * D**0.25


@pytest.mark.parametrize(("power", "told"), [(100.0, "inf"), (-100.0, "0")])
def test_powers_past_all_numbers_are_refused(power: float, told: str) -> None:
    with pytest.raises(SpecError, match=rf"learning_rate = PowerRule\(.* gives {told} for N = .*\n.*smaller powers"):
        value_of("learning_rate", PowerRule(scale=1.0, N=power), shape=GPT2, tokens=D)


def test_unknown_rules_are_named_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"learning_rate = 'steplaw' is no rule\n.*did you mean 'step-law'"):
        rate("steplaw")
