"""Shapes: exact counts, defaults, and refusals that say what is allowed."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given

from isoflop import Shape
from isoflop.errors import ShapeError
from reference import flops as reference
from shapes import DEEPSEEK_V3, GPT2, GPT2_XL, LLAMA2_7B, LLAMA3_8B, MIXTRAL, VIT_B16, any_shapes

SMALL = {"n_layer": 2, "d_model": 32, "n_head": 4, "n_ctx": 64, "n_vocab": 256}


@pytest.mark.parametrize(
    ("shape", "n_params"),
    [
        (GPT2, 124_439_808),
        (GPT2_XL, 1_557_611_200),
        (LLAMA2_7B, 6_738_415_616),
        (LLAMA3_8B, 8_030_261_248),
        (MIXTRAL, 46_702_792_704),
        (DEEPSEEK_V3, 671_026_404_352),  # without the 256 selection biases of each router, which no gradient trains
        (VIT_B16, 86_567_656),
    ],
    ids=["gpt2", "gpt2-xl", "llama-2-7b", "llama-3-8b", "mixtral-8x7b", "deepseek-v3", "vit-b-16"],
)
def test_total_parameters_equal_the_published_checkpoint(shape: Shape, n_params: int) -> None:
    assert shape.n_params == n_params


@given(any_shapes())
def test_counts_equal_the_integer_reference(shape: Shape) -> None:
    assert shape.n_kaplan == reference.n_kaplan(shape)
    assert shape.n_embedding == reference.n_embedding(shape)
    assert shape.n_nonembedding == reference.n_nonembedding(shape)
    assert shape.n_params == shape.n_embedding + shape.n_nonembedding
    assert shape.n_active_nonembedding == reference.n_nonembedding(shape, active=True)
    assert shape.n_active_params == shape.n_embedding + shape.n_active_nonembedding


def test_kaplan_n_is_table_1s_formula_for_a_plain_transformer() -> None:
    assert GPT2.n_kaplan == 2 * GPT2.d_model * GPT2.n_layer * (2 * GPT2.d_attn + GPT2.d_ff)


def test_a_count_beyond_int64_raises_instead_of_wrapping() -> None:
    huge = Shape(n_layer=2**40, d_model=2**40, n_head=1, n_ctx=1, n_vocab=1)
    with pytest.raises(OverflowError):
        _ = huge.n_params


def test_a_count_of_nearly_int64_is_exact() -> None:
    shape = Shape(n_layer=1, d_model=1, n_head=1, n_ctx=1, n_vocab=2**63 - 100, d_ff=1, bias=False, norm="rms")
    assert shape.n_params == reference.n_embedding(shape) + reference.n_nonembedding(shape)


def test_what_is_left_out_is_filled_in() -> None:
    assert (GPT2.d_ff, GPT2.n_kv_head, GPT2.d_head) == (3072, 12, 64)


@pytest.mark.parametrize("d_model", [8, 64, 100, 768, 4096])
def test_swiglu_hidden_width_is_the_next_multiple_of_8_above_8_thirds(d_model: int) -> None:
    d_ff = Shape(n_layer=1, d_model=d_model, n_head=1, n_ctx=8, n_vocab=8, activation="swiglu").d_ff
    assert d_ff % 8 == 0
    assert 0 <= 3 * d_ff - 8 * d_model < 3 * 8


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n_layer": 0}, "n_layer is 0"),
        ({"n_layer": -3}, "n_layer is -3"),
        ({"n_layer": True}, r"n_layer is True \(bool\)"),
        ({"n_layer": None}, "n_layer is None"),
        ({"n_layer": "2"}, r"n_layer is '2' \(str\)"),
        ({"d_model": 32.0}, r"d_model is 32.0 \(float\)"),
        ({"n_vocab": 2**63}, r"below 2\*\*63"),
        ({"d_model": 33}, "use d_model = 32"),
        ({"d_model": 1}, "use d_model = 4"),
        ({"n_kv_head": 3}, "allowed: 1, 2, 4"),
        ({"n_kv_head": 8}, "must divide n_head = 4"),
        ({"d_head": 7, "position": "rope"}, "use d_head = 8"),
        ({"norm": "lyer"}, "did you mean 'layer'"),
        ({"activation": "silu"}, "'gelu', 'relu2', 'swiglu'"),
        ({"norm": None}, "norm is None"),
        ({"bias": 1}, "bias is 1; it must be True or False"),
        ({"architecture": "decodr"}, "did you mean 'decoder'"),
        ({"window": 0}, "window is 0; it must be a positive whole number"),
        ({"window": 65}, "window is 65, longer than the context n_ctx = 64"),
        ({"window": 8, "architecture": "encoder"}, "'encoder' has none\n.*decoder, universal"),
        ({"global_every": 6}, "means nothing without window"),
        ({"window": 8, "global_every": 1}, "every layer sees everything"),
        ({"window": 8, "global_every": -1}, "zero or more, below"),
        ({"n_expert": 4}, "top_k must say how many"),
        ({"n_expert": 4, "top_k": 5}, "top_k is 5; it must be at most n_expert = 4"),
        ({"n_expert": 4, "top_k": 2, "n_dense_layer": 3}, "at most n_layer = 2"),
        ({"n_expert": 4, "top_k": 2, "capacity_factor": 0.0}, "capacity_factor is 0.0; it must be a positive number"),
        ({"n_expert": 4, "top_k": 2, "capacity_factor": "1"}, "capacity_factor is '1'"),
        ({"top_k": 2}, "means nothing without n_expert"),
        ({"q_lora_rank": 2}, "means nothing without kv_lora_rank"),
        ({"kv_lora_rank": 8, "n_kv_head": 2}, "leave n_kv_head out"),
        ({"kv_lora_rank": 8, "position": "rope"}, "needs d_rope"),
        ({"kv_lora_rank": 8, "position": "rope", "d_rope": 3}, "use d_rope = 4"),
        ({"kv_lora_rank": 8, "d_rope": 4}, "position 'learned' is given d_rope = 4"),
        ({"architecture": "universal"}, "needs n_recurrence"),
        ({"n_recurrence": 2}, "'decoder' has none\n.*universal"),
        ({"n_predict": 1, "architecture": "encoder"}, "n_predict is 1; architecture 'encoder' has none"),
        ({"image": 32}, "'decoder' has none\n.*vit"),
        ({"architecture": "vit"}, "needs image, patch, n_class"),
        ({"architecture": "vit", "image": 33, "patch": 8, "n_class": 10}, "use image = 32"),
        ({"architecture": "vit", "image": 32, "patch": 8, "n_class": 10}, "n_ctx is 64; the image makes it 17"),
        ({"architecture": "lstm"}, "n_head is 4; an LSTM has none: it must be 1"),
        ({"architecture": "lstm", "n_head": 1, "d_ff": 32}, "d_ff is 32; .* it must be 128"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_with_what_is_allowed(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        Shape(**(SMALL | wrong))


def test_numpy_integers_become_ints() -> None:
    shape = Shape(**{name: np.int32(value) for name, value in SMALL.items()})
    assert shape == Shape(**SMALL)
    assert {type(value) for value in (shape.n_layer, shape.d_ff, shape.d_head)} == {int}


@given(any_shapes())
def test_a_shape_survives_its_dictionary_and_pickle(shape: Shape) -> None:
    assert shape.n_params > 0  # the C++ twin is cached by now and must not get in the way
    assert Shape.from_dict(shape.to_dict()) == shape
    assert pickle.loads(pickle.dumps(shape)) == shape
    assert copy.deepcopy(shape) == shape
    assert hash(copy.copy(shape)) == hash(shape)


def test_an_unknown_key_is_named_with_the_nearest_field() -> None:
    with pytest.raises(ShapeError, match=r"no field 'd_modle'.*\n.*did you mean 'd_model'"):
        Shape.from_dict(SMALL | {"d_modle": 32})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ShapeError, match="a shape needs d_model, n_vocab"):
        Shape.from_dict({"n_layer": 2, "n_head": 4, "n_ctx": 64})


def test_replace_carries_derived_widths_along() -> None:
    wider = Shape(**SMALL).replace(d_model=64, n_head=8)
    assert (wider.d_ff, wider.d_head, wider.n_kv_head) == (256, 8, 8)


def test_replace_carries_an_image_models_counts_along() -> None:
    finer = VIT_B16.replace(patch=8, n_class=10)
    assert (finer.n_ctx, finer.n_vocab) == (28 * 28 + 1, 10)


def test_active_parameters_leave_out_idle_experts() -> None:
    assert MIXTRAL.n_active_params == 12_879_925_248
    assert GPT2.n_active_params == GPT2.n_params


def test_a_dictionary_holds_no_field_that_the_shape_makes_no_use_of() -> None:
    assert list(GPT2.to_dict()) == [
        *("n_layer", "d_model", "n_head", "n_ctx", "n_vocab", "d_ff", "n_kv_head", "d_head"),
        *("norm", "activation", "position", "bias", "tied_embeddings"),
    ]


def test_replace_keeps_widths_that_were_chosen() -> None:
    chosen = Shape(**SMALL, d_ff=100, n_kv_head=2, d_head=6).replace(d_model=50)
    assert (chosen.d_ff, chosen.n_kv_head, chosen.d_head) == (100, 2, 6)


def test_a_shape_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPT2.n_layer = 1  # type: ignore[misc]


def test_a_notebook_shows_fields_and_counts() -> None:
    text = Shape(n_layer=12, d_model=768, n_head=12, n_ctx=1024, n_vocab=50257)._repr_html_()
    assert "<td>d_model</td><td>768</td>" in text
    assert "<td>n_params</td><td>124,439,808</td>" in text
    assert "n_expert" not in text
    mixture = Shape(n_layer=2, d_model=64, n_head=2, n_ctx=64, n_vocab=256, n_expert=4, top_k=1)
    assert f"<td>n_active_params</td><td>{mixture.n_active_params:,}</td>" in mixture._repr_html_()
