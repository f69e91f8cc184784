"""Families give the published models their shapes."""

from __future__ import annotations

import pytest

from isoflop import Shape, named_shape
from isoflop.errors import ShapeError
from isoflop.shape.families import FAMILIES, family_fields, kaplan, modern


def test_kaplans_shapes_have_twelve_n_layer_d_model_squared_parameters() -> None:
    for n_layer, d_model in ((2, 128), (6, 768), (48, 1600)):
        assert kaplan(n_layer, d_model).n_kaplan == 12 * n_layer * d_model**2
    assert kaplan(48, 1600) == named_shape("gpt2-xl")


def test_modern_shapes_are_llamas() -> None:
    assert modern(32, 4096, n_head=32, n_kv_head=32, d_ff=11008) == named_shape("llama-2-7b")
    small = modern(4, 256)
    assert (small.n_head, small.n_kv_head, small.d_ff) == (4, 1, 688)
    assert not small.bias


@pytest.mark.parametrize(("d_model", "n_head"), [(16, 1), (64, 1), (96, 1), (128, 2), (160, 2), (200, 2), (768, 12)])
def test_heads_are_64_wide_or_the_least_above(d_model: int, n_head: int) -> None:
    assert kaplan(1, d_model).n_head == n_head


def test_fields_said_overrule_the_family() -> None:
    assert kaplan(2, 64, n_ctx=32, n_head=4).n_head == 4
    assert modern(2, 64, tied_embeddings=True, n_ctx=32).tied_embeddings
    assert family_fields({"family": "modern", "n_ctx": 64}) == {**FAMILIES["modern"], "n_ctx": 64}
    assert family_fields({"n_ctx": 64}) == {"n_ctx": 64}


def test_families_name_fields_of_shapes() -> None:
    for fields in FAMILIES.values():
        assert fields.keys() <= Shape.__dataclass_fields__.keys()
    with pytest.raises(ShapeError, match=r"unknown family 'moden'\n.*did you mean 'modern'"):
        family_fields({"family": "moden"})
