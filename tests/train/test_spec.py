"""A spec is the identity of a run: it survives JSON, hashes the same everywhere, and refuses what cannot be trained."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from isoflop.errors import ShapeError, SpecError
from isoflop.runs import run_id
from isoflop.train import optimizers
from isoflop.train.domains import DOMAINS, OPTIMIZERS
from isoflop.train.spec import OMITTED, TrainSpec
from isoflop.train.trainable import default_engine

MakeSpec = Callable[..., TrainSpec]

OTHER: dict[str, Any] = {
    "corpus": "another",
    "tokens": 39 * 128,
    "unique_tokens": 4096,
    "batch_tokens": 256,
    "learning_rate": 2e-2,
    "final_learning_rate": 0.0,
    "warmup_steps": 5,
    "beta1": 0.8,
    "beta2": 0.99,
    "weight_decay": 0.0,
    "grad_clip": 0.5,
    "seed": 1,
    "data_seed": 1,
    "evaluations": 5,
    "eval_tokens": 4096,
    "patience": 1,
    "early_stop": 0.01,
    "schedule": "wsd",
    "decay_steps": 3,
    "optimizer": "muon",
    "dropout": 0.1,
    "z_loss": 1e-4,
    "balance_loss": 0.0,
    "averaging": "ema",
    "averaging_share": 0.2,
    "accumulate": 2,
    "measurements": ("noise",),
    "exact_match": (2, 3),
    "transfer": ("another",),
}

MUP: dict[str, Any] = {"parametrisation": "mup", "base_width": 8}

BAD: dict[str, list[Any]] = {
    "shape": [{"n_layer": 1}],
    "corpus": [3],
    "tokens": [0, -128, 100, 5120.0, "5120", True, math.nan],
    "unique_tokens": [0, 127, 200.5],
    "batch_tokens": [0, 8, 24, 1024.0],
    "learning_rate": [0, -1e-3, math.nan, math.inf, "1e-3", True],
    "final_learning_rate": [-1e-9, math.inf, 1.1e-2],
    "warmup_steps": [-1, 0.5],
    "beta1": [-0.1, 1.0, math.nan],
    "beta2": [-0.1, 1.0],
    "weight_decay": [-0.1, math.nan],
    "grad_clip": [0, math.inf],
    "seed": [-1, 1.5, 2**64],
    "data_seed": [-1, None],
    "evaluations": [0, 2.0],
    "eval_tokens": [0, 15],
    "patience": [-1],
    "early_stop": [-0.1, "narrow"],
    "engine": ["warp"],
    "schedule": ["cosin", None, 3],
    "decay_steps": [-1, 2.5, "3"],
    "optimizer": ["adam", ["adamw"]],
    "parametrisation": ["mpu", None],
    "base_width": [0, 16.0],
    "base_head": [0, True],
    "dropout": [-0.1, 1.0, math.nan],
    "z_loss": [-1e-4, math.inf],
    "balance_loss": [-1e-4, "0"],
    "averaging": ["mean"],
    "averaging_share": [0, 1.1, math.nan],
    "accumulate": [0, 3, 16, 2.0],
    "precision": ["bfloat16", "half"],
    "measurements": [["entropy"], "noise", [3]],
    "exact_match": [[0], [17], [2.0], [True], 2],
    "transfer": [[1], "abc"],
}


def test_specs_survive_json(make_spec: MakeSpec) -> None:
    spec = make_spec(learning_rate=1 / 3, seed=7)
    assert TrainSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert TrainSpec.from_dict(spec.to_dict()) == spec


def test_equal_specs_have_equal_ids_however_their_numbers_are_typed(make_spec: MakeSpec) -> None:
    plain = make_spec(learning_rate=1.0, weight_decay=0.0, seed=3)
    typed = make_spec(learning_rate=1, weight_decay=np.float32(0), seed=np.int64(3))
    assert plain == typed
    assert run_id(plain.to_dict()) == run_id(typed.to_dict())


def test_run_ids_are_the_same_in_every_process(make_spec: MakeSpec) -> None:
    spec = make_spec()
    script = (
        "import json, sys; from isoflop.runs import run_id; from isoflop.train.spec import TrainSpec; "
        "print(run_id(TrainSpec.from_dict(json.load(sys.stdin)).to_dict()))"
    )
    for hash_seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(spec.to_dict()),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == run_id(spec.to_dict())


def test_every_field_makes_another_run(make_spec: MakeSpec) -> None:
    spec = make_spec()
    others = [replace(spec, **{name: value}) for name, value in OTHER.items()]
    others += [replace(spec, **MUP | more) for more in ({}, {"base_width": 4}, {"base_head": 4})]
    others += [replace(spec, engine="native"), replace(spec, engine="native", precision="bfloat16")]
    shapes = [spec.shape.replace(n_layer=2), spec.shape.replace(norm="rms"), spec.shape.replace(tied_embeddings=False)]
    others += [replace(spec, shape=shape) for shape in shapes]
    ids = {run_id(other.to_dict()) for other in [spec, *others]}
    assert len(ids) == 1 + len(others)
    named = {"shape", "engine", "precision", "base_head", *MUP, *OTHER}
    assert named == {field.name for field in fields(TrainSpec)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_values_are_refused_by_name(make_spec: MakeSpec, name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=rf"^{name} = .* must be"):
        make_spec(**{name: value})


def test_every_field_has_a_domain_and_a_bad_value_tested() -> None:
    names = {field.name for field in fields(TrainSpec)}
    assert set(BAD) == names
    assert {"shape", "precision", *DOMAINS} == names


def test_noise_is_measured_over_two_parts_of_a_batch_at_least(make_spec: MakeSpec) -> None:
    assert make_spec(measurements=["noise"]).micro_batches == 2
    assert make_spec(measurements=["noise"], accumulate=4).micro_batches == 4
    assert make_spec(accumulate=4).micro_batches == 4
    with pytest.raises(SpecError, match="batch_tokens = 48 must be an even number of contexts of 16 to measure noise"):
        make_spec(batch_tokens=48, tokens=480, measurements=["noise"])


def test_a_step_is_judged_once_at_most_and_all_that_is_judged_is_counted(make_spec: MakeSpec) -> None:
    assert make_spec().evaluate_at == {10, 20, 30, 40}
    often = make_spec(evaluations=10**9, eval_tokens=32)
    assert often.evaluate_at == set(range(1, 41))
    assert often.judged_tokens == 40 * 32
    assert replace(often, measurements=["gap", "accuracy"], transfer=["another"]).judged_tokens == 4 * 40 * 32
    assert replace(often, exact_match=[2]).judged_tokens == 2 * 40 * 32


def test_measurements_in_any_order_make_the_same_run(make_spec: MakeSpec) -> None:
    one, other = make_spec(measurements=["noise", "gap"]), make_spec(measurements=("gap", "noise", "gap"))
    assert run_id(one.to_dict()) == run_id(other.to_dict())
    assert TrainSpec.from_dict(json.loads(json.dumps(one.to_dict()))) == other


def test_unknown_and_missing_keys_are_named(make_spec: MakeSpec) -> None:
    values = make_spec().to_dict()
    with pytest.raises(SpecError, match=r"unknown key 'learning_rat'.*\n.*did you mean 'learning_rate'"):
        TrainSpec.from_dict(values | {"learning_rat": 1e-3})
    with pytest.raises(SpecError, match="needs corpus, tokens"):
        TrainSpec.from_dict({name: value for name, value in values.items() if name not in ("corpus", "tokens")})
    with pytest.raises(ShapeError, match="no field 'd_modl'"):
        TrainSpec.from_dict(values | {"shape": values["shape"] | {"d_modl": 3}})


def test_what_a_run_makes_no_use_of_is_not_in_its_id(make_spec: MakeSpec) -> None:
    values = make_spec().to_dict()
    assert not OMITTED.keys() & values.keys()
    for name, value in OTHER.items():
        if name in OMITTED:
            spec = make_spec(**{name: value})
            assert spec.to_dict() == values | {name: value}
            assert TrainSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_names_that_a_spec_takes_are_those_of_the_tables() -> None:
    assert set(OPTIMIZERS) == set(optimizers.OPTIMIZERS)


def test_rates_rise_to_the_peak_and_fall_to_the_final_rate(make_spec: MakeSpec) -> None:
    rates = make_spec().rates()
    np.testing.assert_allclose(rates[:4], [0.0025, 0.005, 0.0075, 0.01])
    assert rates.argmax() in (3, 4)
    assert rates[-1] == pytest.approx(1e-3)
    assert make_spec(schedule="constant").rates()[-1] == 1e-2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_steps": 41}, "warm-up of 41 steps is longer than the run, 40 steps"),
        ({"schedule": "wsd", "decay_steps": 37}, "warm-up of 4 steps and a decay of 37 are longer"),
        ({"parametrisation": "mup"}, "'mup' needs base_width"),
        ({"base_width": 8}, "base_width = 8; the standard parametrisation has no base"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    make_spec: MakeSpec, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        make_spec(**changes)


def test_compute_counts_the_parameters_that_a_token_passes(make_spec: MakeSpec) -> None:
    shape = make_spec().shape
    experts, universal = (
        shape.replace(n_expert=4, top_k=1),
        shape.replace(architecture="universal", n_recurrence=3),
    )
    assert make_spec(shape=shape).counts()["C"] == 6 * shape.n_nonembedding * 40 * 128
    assert make_spec(shape=experts).counts()["C"] == 6 * experts.n_active_nonembedding * 40 * 128
    assert make_spec(shape=universal).counts()["C"] == 3 * make_spec(shape=shape).counts()["C"]


def test_counts_agree_with_the_shape(make_spec: MakeSpec) -> None:
    spec = make_spec()
    counts = spec.counts()
    assert counts["N"] == spec.shape.n_nonembedding
    assert counts["n_params"] == spec.shape.n_params
    assert counts["D"] == spec.n_steps * spec.batch_tokens == spec.tokens
    assert (counts["U"], counts["epochs"]) == (spec.tokens, 1)
    for unique in (1280, 1295):  # what does not fill a context is never seen
        repeated = make_spec(unique_tokens=unique).counts()
        assert (repeated["U"], repeated["epochs"]) == (1280, 4)
    assert counts["C"] == 6 * counts["N"] * counts["D"]
    assert counts["C_exact_causal"] > counts["C"], "the unembedding of a tiny model outweighs its blocks"


def test_a_shape_that_no_model_has_is_refused_by_name(make_spec: MakeSpec) -> None:
    shape = make_spec().shape.replace(n_predict=2)
    with pytest.raises(ShapeError, match=r"n_predict = 2 can be counted, not trained"):
        make_spec(shape=shape)


def test_what_an_engine_does_not_train_is_refused_before_anything_starts(make_spec: MakeSpec) -> None:
    spec = make_spec()
    experts = replace(spec.shape, n_expert=4, top_k=2, n_shared_expert=1, capacity_factor=1.5)
    universal = replace(spec.shape, architecture="universal", n_recurrence=2)
    assert default_engine(universal) == "torch"
    assert default_engine(experts) == "native"
    assert default_engine(replace(spec.shape, window=4)) == "native"
    for engine in ("native", "triton"):
        with pytest.raises(SpecError, match=f"architecture = 'universal' must be 'decoder' with engine '{engine}'"):
            replace(spec, shape=universal, engine=engine)
    assert replace(spec, shape=experts, engine="triton").shape == experts


def test_more_experts_than_the_kernels_hold_are_refused_of_the_spec(make_spec: MakeSpec) -> None:
    spec = make_spec()
    pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
    from isoflop.kernels.moe_routing import MOST_CHOSEN, MOST_EXPERTS

    most = replace(spec.shape, n_expert=MOST_EXPERTS, top_k=MOST_CHOSEN)
    assert replace(spec, shape=most, engine="triton").shape == most
    for name, held in (("n_expert", MOST_EXPERTS), ("top_k", MOST_CHOSEN)):
        more = replace(most, **{name: held + 1})
        with pytest.raises(SpecError, match=rf"{name} = {held + 1} must be at most {held} with engine 'triton'"):
            replace(spec, shape=more, engine="triton")
        assert replace(spec, shape=more, engine="native").shape == more
