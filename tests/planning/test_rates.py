"""Learning rates, batches, warm-ups and trunks: the published rules by hand, and Step Law on its authors' runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.fitting import read_file
from isoflop.planning import rates, trunk

RUNS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "steplaw2025" / "dense_lr_bs_loss.csv"


def by_name(rows: object) -> dict[str, float | None]:
    return {row.name: row.value for row in rows}  # type: ignore[attr-defined]


def test_every_rule_gives_its_own_formula() -> None:
    n, d = 1e9, 2e10
    c = 6 * n * d
    found = rates(n, d, loss=2.5)
    assert by_name(found.learning_rates) == {
        "Kaplan": pytest.approx(0.003239 - 0.0001395 * math.log(n)),
        "Step Law": pytest.approx(1.79 * n**-0.713 * d**0.307),
        "DeepSeek": pytest.approx(0.3118 * c**-0.125),
        "Porian": pytest.approx(3.7 * n**-0.36),
    }
    assert by_name(found.batches) == {
        "Kaplan, critical": pytest.approx(2.1e8 / 2.5 ** (1 / 0.21)),
        "Step Law": pytest.approx(0.58 * d**0.571),
        "DeepSeek": pytest.approx(0.2920 * c**0.3271),
        "MiniCPM": pytest.approx(1.211e9 / 2.5**6.2393),
    }


def test_each_rule_warns_outside_its_own_evidence_and_only_there() -> None:
    inside = {row.name: row.warnings for row in rates(1e9, 2e10).learning_rates}
    assert inside["Kaplan"] == ()
    assert inside["Step Law"] == ()
    assert any("C = 1.2e+20 lies 0.8 decades outside" in said for said in inside["DeepSeek"])
    assert "not confirmed against its paper" in inside["Porian"]
    outside = {row.name: row.warnings for row in rates(7e10, 1.4e12).learning_rates}
    assert any("N = 7e+10 lies 1.7 decades outside" in said for said in outside["Kaplan"])
    assert any(said.startswith("D = ") for said in outside["Step Law"])
    batches = {row.name: row.warnings for row in rates(1e9, 2e10).batches}
    assert any("nobody attests" in said for said in batches["MiniCPM"])


def test_a_rule_that_gives_nothing_positive_says_so() -> None:
    kaplan = rates(1e12, 1e13).learning_rates[0]
    assert kaplan.value is None
    assert any("breaks above N = 1e10" in said for said in kaplan.warnings)
    assert "none" in str(rates(1e12, 1e13))


def test_a_measured_noise_scale_gives_the_cost_of_the_batch() -> None:
    noise = rates(1e9, 2e10, batch_tokens=1e6, noise_scale=1e6).noise
    assert noise is not None
    assert (noise.steps, noise.tokens) == (2.0, 2.0)  # at B_crit both are twice their least
    small = rates(1e9, 2e10, batch_tokens=1e5, noise_scale=1e6).noise
    assert small is not None
    assert (small.steps - 1) * (small.tokens - 1) == pytest.approx(1)  # Kaplan eq 5.1


def test_warm_ups_are_said_in_steps_of_the_batch_and_long_ones_warned_of() -> None:
    found = {row.name: row for row in rates(1e8, 1e10, batch_tokens=2.0**19).warm_ups}
    assert found["Kaplan"].steps == 3000
    assert found["Kaplan"].share == pytest.approx(3000 * 2**19 / 1e10)
    assert "more than 10% of the run" in found["Kaplan"].warnings
    assert found["Porian"].steps == pytest.approx(1e8 / 2**19)
    assert "more than 10% of the run" not in found["Porian"].warnings


def test_a_trunk_is_trained_once_and_each_fall_by_itself() -> None:
    found = trunk(1e9, [4e10, 1e10, 2e10], share=0.2)
    assert found.n_tokens == (1e10, 2e10, 4e10)
    assert found.leaves == pytest.approx((0.8e10, 1.6e10, 3.2e10))
    tokens = found.leaves[-1] + sum(d - start for d, start in zip(found.n_tokens, found.leaves, strict=True))
    assert found.compute == pytest.approx(6e9 * tokens)
    assert found.saved == pytest.approx(6e9 * (7e10 - tokens))
    assert "34%) saved" in str(found)
    assert trunk(1e9, [1e10]).saved == pytest.approx(0)


def test_the_answers_are_json_and_name_their_sources() -> None:
    record = json.loads(json.dumps(rates(1e9, 2e10, noise_scale=1e6).to_dict()))
    for row in record["learning_rates"] + record["batches"]:
        assert "arXiv" in row["source"]
        assert row["preset"] in str(rates(1e9, 2e10))
    assert json.loads(json.dumps(trunk(1e9, [1e10, 2e10]).to_dict()))["saved"] > 0


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError, match="noise_scale must be positive"):
        rates(1e9, 1e10, noise_scale=-1)
    with pytest.raises(PlanError, match="each D once"):
        trunk(1e9, [1e10, 1e10])
    with pytest.raises(PlanError, match="between 0 and 1, got 1"):
        trunk(1e9, [1e10], share=1)


@pytest.mark.skipif(not RUNS.exists(), reason="needs the public runs of shared/data/steplaw2025")
def test_step_law_is_near_the_best_of_its_authors_runs_and_the_others_are_not_always() -> None:
    """17 pairs of N and D, some 120 pairs of rate and batch each: the loss at the pair nearest to each rule's."""
    columns = {name: np.asarray(values) for name, values in read_file(RUNS).columns.items() if name != "exp_name"}
    n, d, loss = columns["N"], columns["D"], columns["smooth loss"]
    log_lr, log_batch = np.log(columns["lr"]), np.log(columns["bs"] * 2048)
    regrets: dict[str, list[float]] = {"Step Law": [], "DeepSeek": []}
    pairs = sorted(set(zip(n.tolist(), d.tolist(), strict=True)))
    assert len(pairs) == 17
    for of_n, of_d in pairs:
        rows = (n == of_n) & (d == of_d)
        found = rates(of_n, of_d)
        for name, worse in regrets.items():
            rate, batch = by_name(found.learning_rates)[name], by_name(found.batches)[name]
            assert rate is not None
            assert batch is not None
            away = (log_lr[rows] - math.log(rate)) ** 2 + (log_batch[rows] - math.log(batch)) ** 2
            worse.append(float(loss[rows][away.argmin()] / loss[rows].min() - 1))
    assert max(regrets["Step Law"]) < 0.01
    assert np.mean(regrets["Step Law"]) < np.mean(regrets["DeepSeek"])
