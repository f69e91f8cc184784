"""A study file: what to train on, which shapes, how many tokens each, and what to ask of the runs.

    name = "quickstart"
    corpus = "stdlib"                       # or a path, or { source = PATH, tokenizer = "bpe", ... }
    shapes = [                              # a list in a field makes one shape for each value
      { n_layer = 2, d_model = [64, 128], n_head = 2 },
    ]
    near = { n_nonembedding = [1e4, 1e5] }  # and, or instead, the shape nearest to each N
    tokens = [1e5, 1e6]                     # D of each run: every shape with every D ...
    budgets = [1e12, 1e13]                  # ... and, or instead, isoFLOP budgets: D = C / (6 N)
    zip = ["shapes", "tokens"]              # axes that go in step and not each with each: see AXES
    profiles = { budgets = [1e12, 1e13] }   # isoFLOP profiles: sizes about the one expected to be best at each budget
    sample = { runs = 64, n_nonembedding = [1e4, 1e6], tokens = [1e5, 1e7] }  # drawn from ranges
    runs = [{ n_layer = 2, d_model = 64, n_head = 2, tokens = 1e6 }]          # one by one
    kaplan = { n_nonembedding = [1e4, 1e6], tokens = [1e5, 1e7] }             # a programme of groups

    [shape]                                 # fields that all shapes share, and the family that gives them others
    [train]                                 # how each model is trained
    [plan]                                  # the budget to plan for
    [workers]                               # what a worker takes and costs, how long a run may take, and retries

A study of several parts has a ``[[group]]`` for each, with a name, a purpose and any of the keys above but corpus and
plan. What is said above the groups holds in each of them, but for what the group says itself: shapes or near in the
place of both, tokens, budgets, profiles, sample or runs in the place of all of these, shape and train field by field. A
run of two groups is made once.

    [[group]]
    name = "batch sizes"
    purpose = "batch"                       # what its runs are to show: see PURPOSES
    tokens = [1e6]
    [group.train]
    batch_scan = [0.25, 0.5, 1, 2, 4]

Reading is strict: an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import msgspec

from isoflop.data.recipe import NearDuplicates, Recipe
from isoflop.errors import SpecError, nearest
from isoflop.runs.studies import PURPOSES
from isoflop.shape import Shape
from isoflop.shape.families import family_fields
from isoflop.sweep.asking import Asked, Goal, grid
from isoflop.sweep.designs import Profiles, Sample, listed
from isoflop.sweep.job import RETRIES, How
from isoflop.sweep.near import NEAR_HINT, Near
from isoflop.sweep.programmes import Kaplan
from isoflop.sweep.settings import PlanSettings, TrainSettings, WorkerSettings, converted
from isoflop.train.rules import RULES, Positive, PowerRule, refuse_unknown_rule

_SHAPES_HINT = "shapes = [{ n_layer = 2, d_model = 64, n_head = 2, n_ctx = 64, n_vocab = 256 }]"
_TOGETHER = (("shapes", "near"), ("tokens", "budgets", "zip", "profiles", "sample", "runs"))
"""Keys one of which, said in a group, replaces all of them."""
_BY_FIELD = ("shape", "train")
"""Tables of which a group replaces single fields."""


@dataclass(frozen=True, kw_only=True)
class _GroupSettings:
    name: str = "all"
    purpose: str = "scaling"
    tokens: tuple[Positive, ...] = ()
    budgets: tuple[Positive, ...] = ()
    near: Near | None = None
    zip: tuple[str, ...] = ()
    profiles: Profiles | None = None
    sample: Sample | None = None
    train: TrainSettings = field(default_factory=TrainSettings)


@dataclass(frozen=True, kw_only=True)
class Group(_GroupSettings):
    """Runs of one purpose: ``asked`` are all of them, ``shapes`` those of its grid.

    The grid is every shape with every D of ``tokens``, and every budget C = 6 N D of ``budgets``, in FLOPs.
    """

    shapes: tuple[Shape, ...]
    asked: tuple[Asked, ...]


@dataclass(frozen=True, kw_only=True)
class _StudySettings:
    name: str = "study"
    corpus: Recipe = field(default_factory=Recipe)
    checkpoint_every: Annotated[int, msgspec.Meta(ge=0)] = 0
    extendable: bool = False
    plan: PlanSettings = field(default_factory=PlanSettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)


@dataclass(frozen=True, kw_only=True)
class Study(_StudySettings):
    """A study file, read and checked: one group of runs or several.

    A run that was asked to stop goes on from where it stood, one that was killed from at most ``checkpoint_every``
    steps before, or from the beginning where that is 0. Runs of an ``extendable`` study keep a checkpoint from which
    longer ones begin, in this study or a later one: the steps already made are not made again.
    """

    groups: tuple[Group, ...]

    @property
    def how(self) -> How:
        """What holds for every run."""
        return How(
            checkpoint_every=self.checkpoint_every,
            extendable=self.extendable,
            run_seconds=self.workers.run_seconds,
        )

    @property
    def transfer(self) -> tuple[str, ...]:
        """Every corpus that a group names, besides that of the study, whose held-out loss is measured."""
        trains = dict.fromkeys(asked.train for group in self.groups for asked in group.asked)
        return tuple(dict.fromkeys(name for train in trains for name in train.transfer))


def read_study(path: str | Path) -> Study:
    """The study in a TOML file.

    Raises:
        SpecError: no such file, not TOML, an unknown or missing key, or a value of the wrong kind.
        ShapeError: a shape that cannot be.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SpecError(f"cannot read study {str(path)!r}: {error.strerror}") from error
    try:
        return parse_study(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not TOML: {error}") from error


def parse_study(values: Mapping[str, Any]) -> Study:
    """The study that these values, as read from TOML, describe. Raises as :func:`read_study` does."""
    of_study, of_group = _names(_StudySettings), _OF_GROUP - {"name", "purpose"}
    refuse_unknown(values, {*of_study, *of_group, "group", "kaplan"}, "the study")
    corpus = values.get("corpus", {})
    if isinstance(corpus, str):
        values = {**values, "corpus": {"source": corpus}}
    elif isinstance(corpus, Mapping):
        refuse_unknown(corpus, _names(Recipe), "[corpus]")
        if isinstance(near := corpus.get("deduplicate"), Mapping):
            refuse_unknown(near, _names(NearDuplicates), "[corpus] deduplicate")
    _refuse_unknown_in_table(values, "plan", PlanSettings)
    _refuse_unknown_in_table(values, "workers", WorkerSettings)
    refuse_unknown(values.get("workers", {}).get("retries", {}), RETRIES, "[workers] retries")
    common = {name: value for name, value in values.items() if name in of_group}
    _refuse_unknown_in_tables(common, "")
    programme = _programme(values)
    given = values.get("group", [] if programme else [{}])
    if not isinstance(given, list) or not [*given, *programme] or not all(isinstance(each, Mapping) for each in given):
        raise SpecError(f"group = {given!r} must be one [[group]] table or more")
    named = bool(programme) or "group" in values
    groups = tuple(_group(_merged(common, each), named) for each in [*programme, *given])
    if repeated := [name for name, count in Counter(group.name for group in groups).items() if count > 1]:
        raise SpecError(f"two groups have the name {repeated[0]!r}", hint="their names tell their runs apart")
    settings = converted({name: values[name] for name in of_study if name in values}, _StudySettings)
    return Study(groups=groups, **{part.name: getattr(settings, part.name) for part in fields(settings)})


def refuse_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise a SpecError that names the first key of ``values`` not in ``known``, and the nearest known one."""
    for name in values:
        if name not in known:
            raise SpecError(f"unknown key {name!r} in {where}", hint=nearest(name, known))


def _merged(common: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """What holds in a group: its own keys, and the common ones that it does not replace."""
    refuse_unknown(group, _OF_GROUP, "a [[group]]")
    _refuse_unknown_in_tables(group, "group.")
    kept = dict(common)
    for together in _TOGETHER:
        if any(name in group for name in together):
            kept = {name: value for name, value in kept.items() if name not in together}
    by_field = {name: {**kept.get(name, {}), **group.get(name, {})} for name in _BY_FIELD}
    return {**kept, **group, **by_field}


def _group(values: Mapping[str, Any], named: bool) -> Group:
    fields_of_all = family_fields(values["shape"])
    shapes = _shapes(fields_of_all, values.get("shapes", []))
    settings = converted({name: value for name, value in values.items() if name not in _RAW}, _GroupSettings)
    where = f"group {settings.name!r}" if named else "a study"
    if named and not values.get("name"):
        raise SpecError("a [[group]] needs a name", hint='name = "batch sizes": isoflop fit --group asks for it')
    if settings.purpose not in PURPOSES:
        raise SpecError(f"unknown purpose {settings.purpose!r} of {where}", hint=nearest(settings.purpose, PURPOSES))
    if settings.near is not None:
        shapes = tuple(dict.fromkeys([*shapes, *settings.near.shapes(fields_of_all)]))
    goals = [*map(Goal, settings.tokens), *(Goal(budget, compute=True) for budget in settings.budgets)]
    asked = grid(shapes, goals, settings.train, settings.zip)
    space = settings.near or Near()
    if settings.profiles is not None:
        asked += settings.profiles.asked(space, fields_of_all, settings.train)
    if settings.sample is not None:
        asked += settings.sample.asked(shapes, space, fields_of_all, settings.train)
    asked += listed(values.get("runs", []), fields_of_all, values["train"])
    _refuse_nothing(settings, shapes, asked, where)
    for setting, train in product(RULES, {id(each.train): each.train for each in asked}.values()):
        refuse_unknown_rule(setting, getattr(train, setting))
    said = {part.name: getattr(settings, part.name) for part in fields(settings)}
    return Group(shapes=shapes, asked=tuple(asked), **said)


_RAW = ("shape", "shapes", "runs")
"""Keys of a group that are read by name, not by type."""
_OF_GROUP = {*(part.name for part in fields(_GroupSettings)), *_RAW}


def _refuse_nothing(settings: _GroupSettings, shapes: Sequence[Shape], asked: Sequence[Asked], where: str) -> None:
    """Raise SpecError where a group asks for no run, or says shapes or lengths that none of its runs has."""
    lengths = bool(settings.tokens or settings.budgets)
    if not shapes and (lengths or not asked):
        raise SpecError(f"{where} needs at least one shape", hint=f"{_SHAPES_HINT}, or {NEAR_HINT}")
    drawn = settings.sample is not None and settings.sample.n_nonembedding is None
    if shapes and not lengths and not drawn:
        raise SpecError(f"{where} needs tokens or budgets", hint="tokens = [1e5, 1e6], or budgets = [1e12]")


def _programme(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups of Kaplan's programme, where the study asks for it."""
    if "kaplan" not in values:
        return []
    _refuse_unknown_in_table(values, "kaplan", Kaplan)
    asked: Kaplan = converted(values["kaplan"], Kaplan, "[kaplan]")
    space = values.get("near", {})
    return asked.groups({name: value for name, value in space.items() if name != "n_nonembedding"})


def _shapes(common: Mapping[str, Any], entries: Any) -> tuple[Shape, ...]:
    """One shape for every combination of the values listed in each entry, each shape once."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise SpecError(f"shapes = {entries!r} must be a list of tables", hint=_SHAPES_HINT)
    shapes: dict[Shape, None] = {}
    for entry in entries:
        options = {name: value if isinstance(value, list) else [value] for name, value in {**common, **entry}.items()}
        for combination in product(*options.values()):
            shapes[Shape.from_dict(dict(zip(options, combination, strict=True)))] = None
    return tuple(shapes)


_TABLES = {"train": TrainSettings, "near": Near, "profiles": Profiles, "sample": Sample, "shape": None}


def _refuse_unknown_in_tables(values: Mapping[str, Any], prefix: str) -> None:
    for name, kind in _TABLES.items():
        _refuse_unknown_in_table(values, name, kind, prefix)


def _refuse_unknown_in_table(values: Mapping[str, Any], name: str, kind: type | None, prefix: str = "") -> None:
    """Raise SpecError for a section that is no table, or that has a key that ``kind``, where given, lacks."""
    section, where = values.get(name, {}), f"[{prefix}{name}]"
    if not isinstance(section, Mapping):
        raise SpecError(f"{where} must be a table, not {section!r}")
    if kind is not None:
        refuse_unknown(section, _names(kind), where)
    for key, value in section.items():
        if isinstance(value, Mapping):
            refuse_unknown(value, _names(PowerRule), f"{where} {key}")


def _names(kind: type) -> list[str]:
    return [part.name for part in fields(kind)]
