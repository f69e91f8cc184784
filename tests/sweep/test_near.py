"""A study that asks for sizes gets, for each, the nearest shape of its space, or is refused with that shape's size."""

from __future__ import annotations

from typing import Any

import pytest

from isoflop import Shape
from isoflop.errors import ShapeError, SpecError
from isoflop.sweep.study import parse_study

COMMON: dict[str, Any] = {"n_ctx": 16, "n_vocab": 256}
SIZES = [1e4, 1e5, 1e6]


def asking(near: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"near": {"aspect": [4, 64], **near}, "shape": COMMON, "tokens": [1e4]} | values


def shapes_of(values: dict[str, Any]) -> tuple[Shape, ...]:
    [group] = parse_study(values).groups
    return group.shapes


def test_each_size_adds_one_shape_within_two_percent() -> None:
    shapes = shapes_of(asking({"n_nonembedding": SIZES}))
    assert [shape.n_nonembedding for shape in shapes] == pytest.approx(SIZES, rel=0.02)
    for shape in shapes:
        assert 4 <= shape.d_model / shape.n_layer <= 64
        assert shape.d_model % 8 == 0
        assert shape.d_ff == 4 * shape.d_model
        assert shape.n_kv_head == shape.n_head
        assert (shape.n_ctx, shape.n_vocab) == (16, 256)


def test_shapes_and_near_make_one_study_and_no_shape_twice() -> None:
    alone = shapes_of(asking({"n_nonembedding": SIZES}))
    given = {name: getattr(alone[1], name) for name in ("n_layer", "d_model", "n_head")}
    both = shapes_of(asking({"n_nonembedding": SIZES}, shapes=[given]))
    assert set(both) == set(alone)
    assert len(both) == len(alone)
    assert both[0] == alone[1]


def test_a_gated_mlp_is_two_thirds_as_wide() -> None:
    (shape,) = shapes_of(asking({"n_nonembedding": [1e6]}, shape=COMMON | {"activation": "swiglu"}))
    assert shape.d_ff == pytest.approx(8 / 3 * shape.d_model, abs=4)


def test_a_size_that_the_grid_cannot_meet_is_refused_with_the_nearest() -> None:
    near = {"n_nonembedding": [1e5, 3e3], "multiple_of": 16}
    with pytest.raises(
        SpecError, match=r"no shape within 0.02 of n_nonembedding = 3000; .* has 3,312, \+10.40%\n.*hint"
    ):
        parse_study(asking(near))
    shapes = shapes_of(asking(near | {"tolerance": 0.11}))
    assert [shape.n_nonembedding for shape in shapes] == [100_096, 3_312]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (asking({"n_nonembeding": [1e4]}), SpecError, r"unknown key 'n_nonembeding' in \[near\]\n.*'n_nonembedding'"),
        (asking({}), SpecError, r"needs at least one shape\n.*near = { n_nonembedding"),
        (asking({"n_nonembedding": []}), SpecError, r"needs at least one shape\n.*near = { n_nonembedding"),
        (asking({"n_nonembedding": [0]}), SpecError, r"> 0.*near"),
        (asking({"n_nonembedding": SIZES, "aspect": [64, 4]}), ShapeError, r"aspect is \(64.0, 4.0\)"),
        (asking({"n_nonembedding": SIZES}, shape={"n_ctx": 16}), SpecError, r"near needs n_vocab\n.*\[shape\]"),
        (asking({"n_nonembedding": SIZES}, shape=COMMON | {"n_layer": 2}), SpecError, r"\[shape\] has n_layer"),
        (asking({"n_nonembedding": SIZES}, shape=COMMON | {"limit": 2}), ShapeError, "no field 'limit'"),
        (asking({}) | {"near": 3}, SpecError, r"\[near\] must be a table, not 3"),
    ],
)
def test_what_near_cannot_be_is_refused_by_name(values: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        parse_study(values)
