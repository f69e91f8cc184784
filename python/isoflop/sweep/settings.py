"""The tables of a study file that say how its models are trained and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from isoflop.errors import SpecError
from isoflop.train.rules import Positive, PowerRule
from isoflop.train.trainable import PRECISION

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Multiples = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
Seeds = Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the models of a study are trained; the defaults suit models below a million parameters.

    The default rules for learning rate and batch were tuned on the default corpus for N from 8e2 to 4e5, D from 5e4
    to 5e5.

    Attributes:
        batch_tokens: tokens a step, a number or a rule, published ones by name; rounded to whole contexts, of each part
            of a batch where a rule says it.
        accumulate: parts of a batch that are in memory one after the other; 1 is the whole batch.
        batch_scan: every run is made once with each of these multiples of its batch: [0.25, 0.5, 1, 2, 4] shows the
            critical batch size.
        learning_rate_scan: every run is made once with each of these multiples of its peak.
        learning_rate: peak, a number or a rule, published ones by name.
        expected_loss: nats per token, for published rules that follow it.
        schedule: of :data:`isoflop.train.schedules.FORMS`.
        final_learning_rate_ratio: its fall ends at this share of the peak.
        warmup_share: share of the steps spent in linear warm-up.
        warmup_steps: that many instead.
        decay_share: share of the steps over which it falls; None for that of the schedule.
        one_trunk: the runs of a shape on several D share batch, learning rate, warm-up and data, so that those on less
            are cool-downs off the longest, whose steps they share: for schedules that hold the rate.
        optimizer, parametrisation, dropout, z_loss, balance_loss, averaging, averaging_share: as of
            :class:`isoflop.train.TrainSpec`.
        base_width: d_model at which every parametrisation is the standard one.
        base_head: d_head there; needed where the heads of the study's shapes differ in width.
        early_stop: as of :class:`isoflop.train.TrainSpec`.
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
    one_trunk: bool = False
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
    learning_rate_scan: Multiples = (1.0,)
    seeds: Seeds = (0,)
    data_seed: int = 0
    unique_tokens: int = 0
    allow_repeats: bool = False
    evaluations: int = 4
    eval_tokens: int = 65_536
    patience: int = 0
    early_stop: float = 0.0
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
class WorkerSettings:
    """What a worker takes and may do: one of those that train at the same time.

    Attributes:
        watts: while it trains; by default what its GPU is published to take, if that is known.
        price: of an hour of it, in any currency.
        run_seconds: a run that has taken longer fails, its checkpoint kept; of K runs trained together each takes a
            K-th of the time.
        retries: how often a run is tried again in the same sweep, by what it failed of: see
            :data:`isoflop.sweep.job.RETRIES`.
    """

    watts: Positive | None = None
    price: Positive | None = None
    run_seconds: Positive | None = None
    retries: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = field(default_factory=dict)


def converted(values: Any, kind: Any, where: str = "the study") -> Any:
    """``values``, as read from TOML, as a ``kind``. Raises SpecError where they are not."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise SpecError(f"in {where}: {error}") from error
