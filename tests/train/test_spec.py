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
from isoflop.train.spec import TrainSpec

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
}

BAD: dict[str, list[Any]] = {
    "shape": [{"n_layer": 1}],
    "corpus": [3],
    "tokens": [0, -128, 100, 5120.0, "5120", True, math.nan],
    "unique_tokens": [0, 127, 200.5],
    "batch_tokens": [0, 8, 24, 1024.0],
    "learning_rate": [0, -1e-3, math.nan, math.inf, "1e-3", True],
    "final_learning_rate": [-1e-9, math.inf],
    "warmup_steps": [-1, 0.5],
    "beta1": [-0.1, 1.0, math.nan],
    "beta2": [-0.1, 1.0],
    "weight_decay": [-0.1, math.nan],
    "grad_clip": [0, math.inf],
    "seed": [-1, 1.5],
    "data_seed": [-1, None],
    "evaluations": [0, 2.0],
    "eval_tokens": [0, 15],
    "patience": [-1],
    "engine": ["warp"],
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
    shapes = [spec.shape.replace(n_layer=2), spec.shape.replace(norm="rms"), spec.shape.replace(tied_embeddings=False)]
    others += [replace(spec, shape=shape) for shape in shapes]
    ids = {run_id(other.to_dict()) for other in [spec, *others]}
    assert len(ids) == 1 + len(others)
    assert {"shape", "engine", *OTHER} == {field.name for field in fields(TrainSpec)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_values_are_refused_by_name(make_spec: MakeSpec, name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=rf"^{name} = .* must be"):
        make_spec(**{name: value})


def test_every_field_has_a_bad_value_tested() -> None:
    assert set(BAD) == {field.name for field in fields(TrainSpec)}


def test_unknown_and_missing_keys_are_named(make_spec: MakeSpec) -> None:
    values = make_spec().to_dict()
    with pytest.raises(SpecError, match=r"unknown key 'learning_rat'.*\n.*did you mean 'learning_rate'"):
        TrainSpec.from_dict(values | {"learning_rat": 1e-3})
    with pytest.raises(SpecError, match="needs corpus, tokens"):
        TrainSpec.from_dict({name: value for name, value in values.items() if name not in ("corpus", "tokens")})
    with pytest.raises(ShapeError, match="no field 'd_modl'"):
        TrainSpec.from_dict(values | {"shape": values["shape"] | {"d_modl": 3}})


def test_counts_agree_with_the_shape(make_spec: MakeSpec) -> None:
    spec = make_spec()
    counts = spec.counts()
    assert counts["N"] == spec.shape.n_nonembedding
    assert counts["n_params"] == spec.shape.n_params
    assert counts["D"] == spec.n_steps * spec.batch_tokens == spec.tokens
    assert counts["C"] == 6 * counts["N"] * counts["D"]
    assert counts["C_exact_causal"] > counts["C"], "the unembedding of a tiny model outweighs its blocks"


def test_a_shape_that_no_model_has_is_refused_by_name(make_spec: MakeSpec) -> None:
    shape = make_spec().shape.replace(n_predict=2)
    with pytest.raises(ShapeError, match=r"n_predict = 2 can be counted, not trained"):
        make_spec(shape=shape)
