"""A study file: what to train on, which shapes, how many tokens each, and what to ask of the runs.

    name = "quickstart"
    corpus = "stdlib"                       # or a path, or { source = PATH, tokenizer = "bpe", ... }
    shapes = [                              # a list in a field makes one shape for each value
      { n_layer = 2, d_model = [64, 128], n_head = 2 },
    ]
    near = { n_nonembedding = [1e4, 1e5] }  # and, or instead, the shape nearest to each N
    tokens = [1e5, 1e6]                     # D of each run: every shape with every D ...
    budgets = [1e12, 1e13]                  # ... and, or instead, isoFLOP budgets: D = C / (6 N)

    [shape]                                 # fields that all shapes share, and the family that gives them others
    [train]                                 # how each model is trained
    [plan]                                  # the budget to plan for

Reading is strict: an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import msgspec

from isoflop.data.recipe import NearDuplicates, Recipe
from isoflop.errors import SpecError, nearest
from isoflop.shape import Shape
from isoflop.shape.families import family_fields
from isoflop.sweep.near import NEAR_HINT, Near
from isoflop.train.rules import RULES, Positive, PowerRule, refuse_unknown_rule
from isoflop.train.trainable import PRECISION

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Multiples = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
Seeds = Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
_SHAPES_HINT = "shapes = [{ n_layer = 2, d_model = 64, n_head = 2, n_ctx = 64, n_vocab = 256 }]"


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the models of a study are trained; the defaults suit models below a million parameters.

    The default rules for learning rate and batch were tuned on the default corpus for N from 8e2 to 4e5, D from 5e4
    to 5e5.

    Attributes:
        batch_tokens: tokens a step, a number or a rule, published ones by name; rounded to whole contexts.
        accumulate: parts of a batch that are in memory one after the other; 1 is the whole batch.
        batch_scan: every run is made once with each of these multiples of its batch: [0.25, 0.5, 1, 2, 4] shows the
            critical batch size.
        learning_rate: peak, a number or a rule, published ones by name.
        expected_loss: nats per token, for published rules that follow it.
        schedule: of :data:`isoflop.train.schedules.FORMS`.
        final_learning_rate_ratio: its fall ends at this share of the peak.
        warmup_share: share of the steps spent in linear warm-up.
        warmup_steps: that many instead.
        decay_share: share of the steps over which it falls; None for that of the schedule.
        optimizer, parametrisation, dropout, z_loss, balance_loss, averaging, averaging_share: as of
            :class:`isoflop.train.TrainSpec`.
        base_width: d_model at which every parametrisation is the standard one.
        base_head: d_head there; needed where the heads of the study's shapes differ in width.
        seeds: every run is made once with each seed.
        unique_tokens: draw each run's tokens from so many different ones (D is then reached by epochs); 0 means D.
        allow_repeats: let a run whose D exceeds the corpus go through it more than once.
        engine, precision: what trains: see :data:`isoflop.train.trainable.ENGINES`; that of each run's own
            :func:`isoflop.train.trainable.default_engine` where left out.
        measurements: what is measured besides the held-out loss: see
            :data:`isoflop.train.measurements.MEASUREMENTS`.
        exact_match: lengths of stretches of tokens that count as known where each of them is the likeliest.
        transfer: other corpora, named as ``corpus`` is, whose held-out loss is measured too.
    """

    batch_tokens: Positive | str | PowerRule = field(default_factory=lambda: PowerRule(scale=25.6, D=0.2))
    learning_rate: Positive | str | PowerRule = field(default_factory=lambda: PowerRule(scale=0.22, N=-0.36))
    expected_loss: Positive | None = None
    schedule: str = "cosine"
    final_learning_rate_ratio: Share = 0.05
    warmup_share: Share = 0.05
    warmup_steps: int | None = None
    decay_share: Share | None = None
    optimizer: str = "adamw"
    parametrisation: str = "standard"
    base_width: int | None = None
    base_head: int | None = None
    dropout: float = 0.0
    z_loss: float = 0.0
    balance_loss: float = 0.01
    averaging: str = "none"
    averaging_share: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    accumulate: int = 1
    batch_scan: Multiples = (1.0,)
    seeds: Seeds = (0,)
    data_seed: int = 0
    unique_tokens: int = 0
    allow_repeats: bool = False
    evaluations: int = 4
    eval_tokens: int = 65_536
    patience: int = 0
    engine: str | None = None
    precision: str = PRECISION
    measurements: tuple[str, ...] = ()
    exact_match: tuple[int, ...] = ()
    transfer: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What the study is asked for in the end: the budget, as text with its unit."""

    compute: str = "1e15 FLOP"
    level: Share = 0.95


@dataclass(frozen=True, kw_only=True)
class _Settings:
    name: str = "study"
    corpus: Recipe = field(default_factory=Recipe)
    tokens: tuple[Positive, ...] = ()
    budgets: tuple[Positive, ...] = ()
    checkpoint_every: Annotated[int, msgspec.Meta(ge=0)] = 0
    near: Near | None = None
    train: TrainSettings = field(default_factory=TrainSettings)
    plan: PlanSettings = field(default_factory=PlanSettings)


@dataclass(frozen=True, kw_only=True)
class Study(_Settings):
    """A study file, read and checked.

    ``tokens`` are D; ``budgets`` are C = 6 N D in FLOPs; a run that is interrupted goes on from where it stood at most
    ``checkpoint_every`` steps before, from the beginning where that is 0.
    """

    shapes: tuple[Shape, ...]

    def __post_init__(self) -> None:
        if not self.shapes:
            raise SpecError("a study needs at least one shape", hint=f"{_SHAPES_HINT}, or {NEAR_HINT}")
        if not self.tokens and not self.budgets:
            raise SpecError("a study needs tokens or budgets", hint="tokens = [1e5, 1e6], or budgets = [1e12]")


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
    refuse_unknown(values, {*_names(Study), "shape"}, "the study")
    corpus = values.get("corpus", {})
    if isinstance(corpus, str):
        values = {**values, "corpus": {"source": corpus}}
    elif isinstance(corpus, Mapping):
        refuse_unknown(corpus, _names(Recipe), "[corpus]")
        if isinstance(near := corpus.get("deduplicate"), Mapping):
            refuse_unknown(near, _names(NearDuplicates), "[corpus] deduplicate")
    for name, kind in (("train", TrainSettings), ("plan", PlanSettings), ("near", Near), ("shape", None)):
        section = values.get(name, {})
        if not isinstance(section, Mapping):
            raise SpecError(f"[{name}] must be a table, not {section!r}")
        if kind is not None:
            refuse_unknown(section, _names(kind), f"[{name}]")
        for key, value in section.items():
            if isinstance(value, Mapping):
                refuse_unknown(value, _names(PowerRule), f"[{name}] {key}")
    common = family_fields(values.get("shape", {}))
    shapes = _shapes(common, values.get("shapes", []))
    rest = {name: value for name, value in values.items() if name not in ("shape", "shapes")}
    try:
        settings = msgspec.convert(rest, _Settings)
    except msgspec.ValidationError as error:
        raise SpecError(f"in the study: {error}") from error
    for name in RULES:
        refuse_unknown_rule(name, getattr(settings.train, name))
    if settings.near is not None:
        shapes = tuple(dict.fromkeys([*shapes, *settings.near.shapes(common)]))
    return Study(shapes=shapes, **{part.name: getattr(settings, part.name) for part in fields(settings)})


def refuse_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise a SpecError that names the first key of ``values`` not in ``known``, and the nearest known one."""
    for name in values:
        if name not in known:
            raise SpecError(f"unknown key {name!r} in {where}", hint=nearest(name, known))


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


def _names(kind: type) -> list[str]:
    return [part.name for part in fields(kind)]
