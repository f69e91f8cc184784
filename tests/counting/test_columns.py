"""Columns of shapes: each row counts what it counts alone, and a wrong row is named."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop import Shape, flops
from isoflop.counting import CONVENTIONS, conventions_of, flops_columns
from isoflop.errors import ShapeError, SpecError
from isoflop.shape.fields import CHOICES, FLAGS
from reference import flops as reference
from shapes import DEEPSEEK_V3, GPT2, LLAMA3_8B, any_shapes

ROWS = {"n_layer": [2, 4], "d_model": [64, 96], "n_head": [4, 8], "n_ctx": 32, "n_vocab": 100}


def as_columns(shapes: list[Shape]) -> dict[str, Any]:
    """Every whole number that the shapes have as an array; the rest, which they share, as it is."""
    fixed = (*CHOICES, *FLAGS, "capacity_factor", "image", "patch", "channels", "n_class")
    columns: dict[str, Any] = {}
    for name, value in shapes[0].to_dict().items():
        image_made = shapes[0].architecture == "vit" and name in ("n_ctx", "n_vocab")
        one = name in fixed or image_made
        columns[name] = value if one else np.array([getattr(shape, name) for shape in shapes])
    return columns


@given(any_shapes(), st.lists(st.integers(1, 10**6), min_size=1, max_size=5), st.data())
def test_a_row_counts_what_its_shape_counts(shape: Shape, extra: list[int], data: st.DataObject) -> None:
    convention = data.draw(st.sampled_from(conventions_of(shape.architecture)))
    shapes = [shape, *(shape.replace(n_layer=shape.n_layer + more) for more in extra)]
    expected = [flops(each).total(convention) for each in shapes]
    np.testing.assert_allclose(flops_columns(as_columns(shapes), convention), expected, rtol=1e-12)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("more", [{}, {"n_expert": 8, "top_k": [1, 2]}, {"kv_lora_rank": [8, 16]}], ids=str)
def test_fields_left_out_are_filled_in_row_by_row(activation: str, more: dict[str, Any]) -> None:
    columns = ROWS | more | {"activation": activation}
    rows = [{name: v[i] if isinstance(v, list) else v for name, v in columns.items()} for i in range(2)]
    expected = [flops(Shape.from_dict(row)).total("every-term") for row in rows]
    np.testing.assert_allclose(flops_columns(columns, "every-term"), expected, rtol=1e-12)


def test_prediction_modules_and_windows_may_vary_from_row_to_row() -> None:
    shapes = [DEEPSEEK_V3.replace(n_predict=n, n_shared_expert=n, n_dense_layer=n) for n in (0, 1, 2)]
    columns = as_columns(shapes) | {name: [0, 1, 2] for name in ("n_predict", "n_shared_expert", "n_dense_layer")}
    expected = [flops(shape).total() for shape in shapes]
    np.testing.assert_allclose(flops_columns(columns), expected, rtol=1e-12)


def many_rows() -> dict[str, Any]:
    heads = 1 + np.arange(50_000) % 63
    return ROWS | {"d_model": 64 * heads, "n_head": heads, "n_layer": 1 + np.arange(50_000) % 100}


def test_callers_at_once_get_what_each_gets_alone() -> None:
    columns = many_rows()
    alone = flops_columns(columns, threads=1)
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda _: flops_columns(columns, threads=3), range(24)))
    assert all(np.array_equal(each, alone) for each in found)


def test_a_forked_process_counts_with_threads_of_its_own() -> None:
    columns = many_rows()
    alone = flops_columns(columns, threads=2)
    with multiprocessing.get_context("fork").Pool(1) as forked:
        assert np.array_equal(forked.apply(flops_columns, (columns,), {"threads": 2}), alone)


@pytest.mark.parametrize("least", [-(2**62), -1, 0])
@pytest.mark.parametrize("greatest", [7, 2**51 + 1, 2**62])
def test_a_number_below_its_least_is_found_beside_numbers_of_any_size(least: int, greatest: int) -> None:
    columns = many_rows()
    columns["n_vocab"] = np.full(50_000, greatest)
    columns["n_vocab"][33_333] = least
    with pytest.raises((ShapeError, OverflowError), match="row 33333" if greatest == 7 else "row "):
        flops_columns(columns, threads=2)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    columns = {"n_layer": np.arange(1, 5001), "d_model": 64 * np.arange(1, 5001), "n_head": np.arange(1, 5001)}
    columns |= {"n_ctx": 128, "n_vocab": 1000}
    alone = flops_columns(columns)
    assert np.array_equal(alone, flops_columns(columns, threads=threads))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64])
def test_every_integer_type_counts_the_same(dtype: type) -> None:
    columns = {name: np.array(v, dtype) if isinstance(v, list) else v for name, v in ROWS.items()}
    assert np.array_equal(flops_columns(columns), flops_columns(ROWS))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_flops_far_beyond_int64_are_those_of_the_reference(convention: str) -> None:
    shape = LLAMA3_8B.replace(n_layer=200, d_model=2**22, n_head=2**15, n_kv_head=2**10, n_ctx=2**20)
    exact = reference.convention_flops(shape, convention, 1, shape.n_ctx)[1]
    assert exact > 10**22
    assert abs(Fraction(flops_columns(as_columns([shape]), convention)[0]) - exact) <= exact / 10**12


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_parameters_beyond_int64_name_their_row_under_every_convention(convention: str) -> None:
    columns = ROWS | {"d_model": [64, 2**40]}
    with pytest.raises(OverflowError, match="row 1: its parameters: count exceeds int64"):
        flops_columns(columns, convention)


@given(st.integers(2**55, 2**63 - 1), st.integers(-4, 4))
def test_parameters_are_refused_exactly_where_int64_ends(n_vocab: int, more: int) -> None:
    plain = {"n_layer": 1, "n_head": 1, "n_ctx": 1, "position": "rope", "bias": False, "d_head": 2, "d_ff": 1}
    d_model = (2**63 - 1) // n_vocab + more
    row = plain | {"d_model": max(d_model, 1), "n_vocab": n_vocab}
    columns = row | {"n_vocab": [n_vocab], "d_model": [row["d_model"]]}
    try:
        expected = flops(Shape.from_dict(row)).total()
    except OverflowError:
        with pytest.raises(OverflowError, match="row 0"):
            flops_columns(columns)
    else:
        assert flops_columns(columns)[0] == pytest.approx(expected, rel=1e-12)


def test_numbers_that_doubles_round_are_checked_exactly() -> None:
    columns = {"n_layer": 1, "d_model": 1, "n_ctx": 4, "n_vocab": 1, "d_head": 1, "d_ff": 1, "position": "none"}
    even = 2**54 + 2
    assert flops_columns(columns | {"n_head": [2, even], "n_kv_head": 2})[1] > 0
    with pytest.raises(ShapeError, match=f"row 1: n_kv_head is 2; it must divide n_head = {even + 1}"):
        flops_columns(columns | {"n_head": [2, even + 1], "n_kv_head": 2})
    with pytest.raises(ShapeError, match=r"row 1: window is .* longer than the context"):
        flops_columns(columns | {"n_head": 1, "window": [1, 2**54 + 1], "n_ctx": 2**54})


@pytest.mark.parametrize("architecture", ["vit", "lstm", "universal"])
def test_a_convention_that_does_not_describe_the_architecture_is_refused(architecture: str) -> None:
    with pytest.raises(SpecError, match=f"convention 'palm' does not describe architecture '{architecture}'"):
        flops_columns({"n_layer": [1], "architecture": architecture}, "palm")


def test_sequences_may_vary() -> None:
    columns = ROWS | {"n_ctx": [32, 64]}
    assert flops_columns(columns, seq=[8, 16])[1] == flops_columns(columns, seq=16)[1]


def test_the_memory_of_a_result_is_not_written_while_a_view_of_it_lives() -> None:
    columns = ROWS | {"n_layer": np.arange(1, 40_001), "d_model": 64, "n_head": 4}
    first = flops_columns(columns)
    view, copy = first[::2], first[::2].copy()
    del first
    for n_layer in (50, 60):
        again = flops_columns(columns | {"n_layer": np.full(40_000, n_layer)})
        assert (again == again[0]).all()
        assert (view == copy).all()


def test_no_rows_give_no_counts() -> None:
    assert flops_columns({name: [] if isinstance(v, list) else v for name, v in ROWS.items()}).shape == (0,)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n_layer": [2, 0]}, "row 1: n_layer is 0; it must be a positive whole number"),
        ({"n_head": [4, 7]}, "row 1: d_model is 96, which n_head = 7 does not divide"),
        ({"n_kv_head": [4, 3]}, "row 1: n_kv_head is 3; it must divide n_head = 8"),
        ({"n_expert": 4, "top_k": [4, 5]}, "row 1: top_k is 5; it must be at most n_expert = 4"),
        ({"window": [4, 64]}, "row 1: window is 64, longer than the context"),
        ({"d_head": [4, 5], "position": "rope"}, "row 1: d_head is 5; rotary"),
        ({"n_layer": [1.5, 2.0]}, "n_layer is an array of float64"),
        ({"n_layer": np.array([2**63, 1], np.uint64)}, "below 2"),
        ({"n_layer": [1, 2, 3]}, "columns must be of one length; given: n_layer 3, d_model 2"),
        ({"n_layer": [[1, 2]]}, "n_layer is an array of int64 with shape"),
        ({"bias": [True, False]}, "bias is an array; it must be one value"),
        ({"n_layr": 2}, "no field 'n_layr'"),
        ({"window": 4, "global_every": [0, 2]}, "an array of it must be 2 or more"),
    ],
    ids=str,
)
def test_a_wrong_column_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        flops_columns(ROWS | wrong)


def test_a_sequence_beyond_the_context_is_named() -> None:
    with pytest.raises(ShapeError, match="row 1: seq is 33; this shape takes from 1 to 32 tokens"):
        flops_columns(ROWS, seq=[32, 33])
    with pytest.raises(ShapeError, match="row 0: seq is 33; this shape takes from 1 to 32 tokens"):
        flops_columns(ROWS, seq=33)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, 2**63])
def test_a_length_that_is_no_positive_whole_number_is_refused(wrong: object) -> None:
    with pytest.raises(ShapeError, match=f"seq is {wrong}; it must be a positive whole number"):
        flops_columns(ROWS, seq=wrong)  # type: ignore[arg-type]


def test_columns_need_an_array() -> None:
    with pytest.raises(ShapeError, match="given: no array"):
        flops_columns(GPT2.to_dict())


def test_an_unknown_convention_or_thread_count_is_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'palm'"):
        flops_columns(ROWS, "plam")
    with pytest.raises(SpecError, match="threads is 0"):
        flops_columns(ROWS, threads=0)
