"""A study file is read strictly, and says exactly the shapes and tokens it was meant to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from isoflop import Shape
from isoflop.data import NearDuplicates, Recipe
from isoflop.errors import ShapeError, SpecError
from isoflop.sweep.study import parse_study, read_study
from isoflop.train.rules import PowerRule

SHAPE: dict[str, Any] = {"n_layer": 1, "d_model": 8, "n_head": 1, "n_ctx": 16, "n_vocab": 256}
MINIMAL: dict[str, Any] = {"shapes": [SHAPE], "tokens": [1e4]}


def test_the_shipped_studies_are_read(root: Path) -> None:
    studies = sorted((root / "examples").glob("*.toml"))
    assert studies
    for path in studies:
        study = read_study(path)
        assert study.groups
        for group in study.groups:
            assert group.shapes
            assert group.tokens or group.budgets


def test_the_study_on_the_page_on_data_is_read(root: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", (root / "docs" / "data.md").read_text(), re.MULTILINE | re.DOTALL)
    corpus = parse_study(tomllib.loads(block)).corpus
    assert corpus.near == NearDuplicates()
    assert corpus.settings().keys() == {"tokenizer", "n_vocab", "deduplicate", "quality"}


def test_lists_make_a_grid_and_common_fields_are_shared() -> None:
    [group] = parse_study(
        {
            "shape": {"n_ctx": 16, "n_vocab": 256, "n_head": 2},
            "shapes": [{"n_layer": [1, 2], "d_model": [8, 16, 32]}, {"n_layer": 3, "d_model": 8, "n_head": 1}],
            "tokens": [1e4],
        }
    ).groups
    grid = [(1, 8, 2), (1, 16, 2), (1, 32, 2), (2, 8, 2), (2, 16, 2), (2, 32, 2), (3, 8, 1)]
    assert [(s.n_layer, s.d_model, s.n_head) for s in group.shapes] == grid
    assert {(s.n_ctx, s.n_vocab) for s in group.shapes} == {(16, 256)}


def test_a_family_gives_the_fields_that_are_not_said() -> None:
    [group] = parse_study(
        {
            "shape": {"family": "modern", "n_ctx": 16},
            "shapes": [{"n_layer": 1, "d_model": 8, "n_head": 1}],
            "tokens": [1],
        }
    ).groups
    [shape] = group.shapes
    assert (shape.norm, shape.activation, shape.position, shape.n_ctx) == ("rms", "swiglu", "rope", 16)


def test_a_shape_given_twice_is_one_shape() -> None:
    [group] = parse_study(MINIMAL | {"shapes": [SHAPE, SHAPE | {"d_model": [8, 8]}]}).groups
    assert group.shapes == (Shape(**SHAPE),)


def test_a_corpus_is_a_name_or_a_table() -> None:
    assert parse_study(MINIMAL).corpus == Recipe(source="stdlib")
    assert parse_study(MINIMAL | {"corpus": "text/"}).corpus == Recipe(source="text/")
    table = {
        "source": "text/",
        "tokenizer": "bpe",
        "n_vocab": 512,
        "deduplicate": {"threshold": 0.7},
        "quality": "gopher",
    }
    assert parse_study(MINIMAL | {"corpus": table}).corpus == Recipe(
        source="text/",
        tokenizer="bpe",
        n_vocab=512,
        deduplicate=NearDuplicates(threshold=0.7),
        quality="gopher",
    )


def test_settings_are_numbers_or_rules() -> None:
    [group] = parse_study(
        MINIMAL | {"train": {"batch_tokens": 64, "learning_rate": {"scale": 2, "N": -0.5, "D": 1}}}
    ).groups
    train = group.train
    assert train.batch_tokens == 64.0
    assert train.learning_rate == PowerRule(scale=2.0, N=-0.5, D=1.0)
    assert PowerRule(scale=2, N=-0.5, D=1).at(100, 30) == pytest.approx(2 * 30 / 10)
    assert PowerRule(scale=2, B=0.5).at(100, 30, 64) == pytest.approx(2 * 8)
    [group] = parse_study(MINIMAL | {"train": {"batch_tokens": "step-law", "learning_rate": "kaplan"}}).groups
    train = group.train
    assert (train.batch_tokens, train.learning_rate) == ("step-law", "kaplan")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token": [1]}, r"unknown key 'token' in the study\n.*did you mean 'tokens'"),
        ({"train": {"batch_token": 1}}, r"unknown key 'batch_token' in \[train\]\n.*did you mean 'batch_tokens'"),
        ({"plan": {"computes": "1"}}, r"unknown key 'computes' in \[plan\]\n.*did you mean 'compute'"),
        ({"corpus": {"tokeniser": "bpe"}}, r"unknown key 'tokeniser' in \[corpus\]\n.*did you mean 'tokenizer'"),
        (
            {"corpus": {"deduplicate": {"treshold": 0.5}}},
            r"unknown key 'treshold' in \[corpus\] deduplicate\n.*did you mean 'threshold'",
        ),
        (
            {"train": {"learning_rate": {"scales": 1}}},
            r"unknown key 'scales' in \[train\] learning_rate\n.*did you mean 'scale'",
        ),
        ({"train": {"learning_rate": "kapln"}}, r"learning_rate = 'kapln' is no rule\n.*did you mean 'kaplan'"),
        ({"train": {"batch_tokens": "minicmp"}}, r"batch_tokens = 'minicmp' is no rule\n.*did you mean 'minicpm'"),
    ],
)
def test_unknown_keys_are_named_with_the_nearest(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_study(MINIMAL | values)


@pytest.mark.parametrize("where", ["shape", "shapes"])
def test_unknown_fields_of_a_shape_are_named_with_the_nearest(where: str) -> None:
    wrong: Any = {"d_modle": 8}
    with pytest.raises(ShapeError, match=r"no field 'd_modle'\n.*did you mean 'd_model'"):
        parse_study(MINIMAL | {where: wrong if where == "shape" else [SHAPE | wrong]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": 1e4}, r"Expected `array`, got `float` - at `\$.tokens`"),
        ({"tokens": ["1e4"]}, r"Expected `float`, got `str` - at `\$.tokens\[0\]`"),
        ({"tokens": [-1]}, r"> 0.* - at `\$.tokens\[0\]`"),
        ({"tokens": [0.0]}, r"> 0.* - at `\$.tokens\[0\]`"),
        ({"tokens": [float("inf")]}, r"at `\$.tokens\[0\]`"),
        ({"tokens": [float("nan")]}, r"at `\$.tokens\[0\]`"),
        ({"budgets": [-1e12]}, r"at `\$.budgets\[0\]`"),
        ({"corpus": 3}, r"at `\$.corpus`"),
        ({"corpus": {"tokenizer": 3}}, r"at `\$.corpus.tokenizer`"),
        ({"corpus": {"n_vocab": -1}}, r"at `\$.corpus.n_vocab`"),
        ({"corpus": {"deduplicate": "nearly"}}, r"nearly.* - at `\$.corpus.deduplicate`"),
        ({"corpus": {"deduplicate": {"threshold": 2}}}, r"at `\$.corpus.deduplicate.threshold`"),
        ({"corpus": {"quality": {"word": [0, 1]}}}, r"unknown measure 'word' in quality\n.*did you mean 'words'"),
        ({"corpus": {"quality": {"words": [0]}}}, r"at `\$.corpus.quality"),
        ({"train": {"seeds": []}}, r"length >= 1.* - at `\$.train.seeds`"),
        ({"train": {"seeds": [0.5]}}, r"at `\$.train.seeds\[0\]`"),
        ({"train": {"batch_tokens": 0}}, r"at `\$.train.batch_tokens`"),
        ({"train": {"learning_rate": float("inf")}}, r"at `\$.train.learning_rate`"),
        ({"train": {"learning_rate": {"scale": -1}}}, r"at `\$.train.learning_rate.scale`"),
        ({"train": {"learning_rate": {"N": 1}}}, r"missing required field `scale` - at `\$.train.learning_rate`"),
        ({"train": {"warmup_share": 1.5}}, r"at `\$.train.warmup_share`"),
        ({"train": {"warmup_share": -0.1}}, r"at `\$.train.warmup_share`"),
        ({"train": {"final_learning_rate_ratio": -0.1}}, r"at `\$.train.final_learning_rate_ratio`"),
        ({"train": {"allow_repeats": 1}}, r"at `\$.train.allow_repeats`"),
        ({"train": [1]}, r"\[train\] must be a table, not \[1\]"),
        ({"shape": 3}, r"\[shape\] must be a table, not 3"),
        ({"plan": {"level": 95}}, r"at `\$.plan.level`"),
        ({"shapes": SHAPE}, r"shapes = \{.*\} must be a list of tables\n.*shapes = \["),
        ({"shapes": [3]}, r"shapes = \[3\] must be a list of tables"),
        ({"shapes": []}, r"needs at least one shape\n.*shapes = \["),
        ({"shapes": [SHAPE | {"d_model": []}]}, r"needs at least one shape"),
        ({"tokens": []}, r"needs tokens or budgets\n.*budgets = \["),
    ],
)
def test_values_of_the_wrong_kind_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_study(MINIMAL | values)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (SHAPE | {"n_head": 3}, r"d_model is 8, which n_head = 3 does not divide\n.*use d_model = 9"),
        (SHAPE | {"d_model": 8.0}, "d_model is 8.0"),
        (SHAPE | {"norm": "batch"}, "norm is 'batch'"),
        ({"n_layer": 1}, "a shape needs d_model, n_head, n_ctx, n_vocab"),
    ],
)
def test_impossible_shapes_are_refused(shape: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        parse_study(MINIMAL | {"shapes": [shape]})


def test_files_that_are_not_studies_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot read study '.*nowhere.toml': No such file"):
        read_study(tmp_path / "nowhere.toml")
    for content in (b"tokens = [1e4", b"\xff\xfe"):
        (tmp_path / "study.toml").write_bytes(content)
        with pytest.raises(SpecError, match=r"study.toml is not TOML"):
            read_study(tmp_path / "study.toml")


GROUPS: dict[str, Any] = MINIMAL | {
    "shape": {"activation": "relu2"},
    "train": {"beta1": 0.8, "beta2": 0.9},
    "group": [
        {"name": "grid"},
        {"name": "profiles", "purpose": "isoflop", "budgets": [1e9], "train": {"beta2": 0.99}},
        {"name": "sizes", "near": {"n_nonembedding": [1e4], "tolerance": 0.3}, "shape": {"n_ctx": 16, "n_vocab": 256}},
    ],
}


def test_a_group_has_what_is_said_above_it_but_for_what_it_says_itself() -> None:
    grid, profiles, sizes = parse_study(GROUPS).groups
    assert (grid.purpose, grid.tokens, grid.budgets, grid.shapes) == ("scaling", (1e4,), (), sizes_of(SHAPE))
    assert (profiles.purpose, profiles.tokens, profiles.budgets) == ("isoflop", (), (1e9,))
    assert (profiles.train.beta1, profiles.train.beta2) == (0.8, 0.99)
    assert (grid.train.beta1, grid.train.beta2) == (0.8, 0.9)
    assert [shape.n_nonembedding for shape in sizes.shapes] == pytest.approx([1e4], rel=0.3), "in the place of shapes"
    assert {shape.activation for group in (grid, sizes) for shape in group.shapes} == {"relu2"}


def sizes_of(shape: dict[str, Any]) -> tuple[Shape, ...]:
    return (Shape(**shape, activation="relu2"),)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ([{"tokens": [1]}], r"a \[\[group\]\] needs a name"),
        ([{"name": "a"}, {"name": "a"}], "two groups have the name 'a'"),
        ([{"name": "a", "token": [1]}], r"unknown key 'token' in a \[\[group\]\]\n.*did you mean 'tokens'"),
        ([{"name": "a", "plan": {}}], r"unknown key 'plan' in a \[\[group\]\]"),
        ([{"name": "a", "purpose": "shapes"}], r"unknown purpose 'shapes' of group 'a'\n.*did you mean 'shape'"),
        ([{"name": "a", "train": {"beta": 1}}], r"unknown key 'beta' in \[group.train\]"),
        ([{"name": "a", "train": 3}], r"\[group.train\] must be a table, not 3"),
        ([], r"group = \[\] must be one \[\[group\]\] table or more"),
        ({"name": "a"}, r"must be one \[\[group\]\] table or more"),
        ([{"name": "a", "shapes": []}], "group 'a' needs at least one shape"),
    ],
)
def test_groups_that_cannot_be_are_refused_by_name(group: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_study(MINIMAL | {"group": group})
