"""Everything that decides how one model is trained: equal specs give equal runs; the run id is the spec's hash."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.counting import flops
from isoflop.data import epochs
from isoflop.errors import SpecError, nearest
from isoflop.shape import Shape
from isoflop.train.domains import DOMAINS, demand
from isoflop.train.parametrisation import Parametrisation
from isoflop.train.schedules import Schedule
from isoflop.train.trainable import ENGINES, beyond, refuse_untrainable


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """One training, fully resolved.

    Attributes:
        shape: the architecture.
        corpus: fingerprint of the corpus.
        tokens: D, the tokens processed; a whole number of steps.
        unique_tokens: how many different training tokens they are drawn from, in whole contexts; fewer than
            ``tokens`` means repeated epochs.
        batch_tokens: B, tokens a step; a whole number of contexts.
        accumulate: equal parts of a batch that go through the model one after the other, their gradients added up: the
            same update, but for rounding, in the activations of one part. Experts balance their load in each part.
        learning_rate: peak of the schedule.
        final_learning_rate: where its fall ends.
        warmup_steps: steps of linear warm-up.
        beta1, beta2, weight_decay: AdamW; decay acts on matrices and tables, not on gains and biases.
        grad_clip: largest global gradient norm.
        seed: initialisation and order of the windows.
        data_seed: which tokens: the nested subset.
        evaluations: how often the held-out loss is measured, evenly spaced and once a step at most; the last is at the
            end.
        eval_tokens: held-out tokens of each evaluation, the same for every run of a corpus.
        patience: stop after so many evaluations without a better held-out loss and report the best; 0 trains to the
            end.
        early_stop: stop once the 95 % interval of the final held-out loss, foreseen from the curve so far, reaches no
            further than so many nats either way, and report the loss foreseen; 0 trains to the end.
        schedule: how the learning rate holds and falls, of :data:`isoflop.train.schedules.FORMS`.
        decay_steps: steps of its fall; None for the share of the run that the schedule has.
        optimizer: of :data:`isoflop.train.domains.OPTIMIZERS`.
        parametrisation, base_width, base_head: as of :class:`isoflop.train.parametrisation.Parametrisation`.
        dropout: probability.
        z_loss: weight of the squared logarithm of the softmax's denominator.
        balance_loss: weight of the load-balancing loss of each layer of experts.
        averaging: which average of the weights is evaluated, of :data:`isoflop.train.newest.AVERAGES`.
        averaging_share: of the run, that it reaches over.
        engine: which implementation trains, of :data:`ENGINES`: losses of two differ by rounding.
        precision: of its matrix products.
        measurements: what is measured besides the held-out loss, of :data:`isoflop.train.measurements.MEASUREMENTS`;
            each once, kept in alphabetical order.
        exact_match: lengths k of stretches of tokens that count as known where every one of them is the likeliest.
        transfer: fingerprints of other corpora, whose held-out loss is measured too.
    """

    shape: Shape
    corpus: str
    tokens: int
    unique_tokens: int
    batch_tokens: int
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    seed: int = 0
    data_seed: int = 0
    evaluations: int = 4
    eval_tokens: int = 65_536
    patience: int = 0
    engine: str = "torch"
    schedule: str = "cosine"
    decay_steps: int | None = None
    optimizer: str = "adamw"
    parametrisation: str = "standard"
    base_width: int | None = None
    base_head: int | None = None
    dropout: float = 0.0
    z_loss: float = 0.0
    balance_loss: float = 0.01
    averaging: str = "none"
    averaging_share: float = 0.1
    accumulate: int = 1
    precision: str = "float32"
    measurements: tuple[str, ...] = ()
    exact_match: tuple[int, ...] = ()
    transfer: tuple[str, ...] = ()
    early_stop: float = 0.0

    def __post_init__(self) -> None:
        """Check every field; make whole numbers ``int`` and the rest ``float``: equal specs then have equal JSON."""
        demand(isinstance(self.shape, Shape), "shape", self.shape, "a Shape")
        refuse_untrainable(self.shape)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in DOMAINS and not (value is None and field.default is None):
                object.__setattr__(self, field.name, DOMAINS[field.name].keep(field.name, value))
        n_ctx, batch, peak = self.shape.n_ctx, self.batch_tokens, self.learning_rate
        falls = self.final_learning_rate <= peak
        demand(falls, "final_learning_rate", self.final_learning_rate, f"a number in [0, {peak}]")
        demand(batch % n_ctx == 0, "batch_tokens", batch, f"a multiple of n_ctx = {n_ctx}")
        demand(self.tokens % batch == 0, "tokens", self.tokens, f"a multiple of batch_tokens = {batch}")
        unique = self.unique_tokens
        demand(unique >= batch, "unique_tokens", unique, f"at least one batch, batch_tokens = {batch}")
        demand(self.eval_tokens >= n_ctx, "eval_tokens", self.eval_tokens, f"at least one context, n_ctx = {n_ctx}")
        divides = self.batch_windows % self.accumulate == 0
        demand(divides, "accumulate", self.accumulate, f"a divisor of the {self.batch_windows} contexts of a batch")
        halves = self.batch_windows % self.micro_batches == 0
        demand(halves, "batch_tokens", batch, f"an even number of contexts of {n_ctx} to measure noise")
        within = all(length <= n_ctx for length in self.exact_match)
        demand(within, "exact_match", self.exact_match, f"a list of whole numbers from 1 to n_ctx = {n_ctx}")
        self.rate_schedule.decay_steps(self.n_steps)
        Parametrisation(self.parametrisation, self.base_width, self.base_head)
        allowed = ENGINES[self.engine]
        demand(self.precision in allowed, "precision", self.precision, f"{' or '.join(allowed)} with {self.engine!r}")
        for name, trained in beyond(self.engine, self.shape).items():
            demand(False, name, getattr(self.shape, name), f"{trained} with engine {self.engine!r}")

    @property
    def n_steps(self) -> int:
        """S, optimizer steps."""
        return self.tokens // self.batch_tokens

    @property
    def evaluate_at(self) -> set[int]:
        """Steps after which the held-out loss is measured: all of them where more evaluations are asked for."""
        count = min(self.evaluations, self.n_steps)
        return {math.ceil(self.n_steps * (k + 1) / count) for k in range(count)}

    @property
    def judged_tokens(self) -> int:
        """Tokens that go through the model in all evaluations, as far as the corpora have so many."""
        passes = 1 + len(self.transfer) + ("gap" in self.measurements) + self.counts_hits
        return len(self.evaluate_at) * self.eval_tokens * passes

    @property
    def rate_schedule(self) -> Schedule:
        """Learning rates in multiples of the peak."""
        final = self.final_learning_rate / self.learning_rate
        return Schedule(self.schedule, self.warmup_steps, self.decay_steps, final)

    @property
    def held_steps(self) -> int:
        """Steps before its learning rate begins to fall: a longer run may share all of these."""
        return self.n_steps - self.rate_schedule.decay_steps(self.n_steps)

    def rates(self) -> NDArray[np.float64]:
        """The learning rate of every step, (n_steps,)."""
        return self.learning_rate * self.rate_schedule.rates(self.n_steps)

    @property
    def parametrised(self) -> Parametrisation:
        """How first values, learning rates and the forward pass follow from the width."""
        return Parametrisation(self.parametrisation, self.base_width, self.base_head)

    @property
    def batch_windows(self) -> int:
        """Contexts a step."""
        return self.batch_tokens // self.shape.n_ctx

    @property
    def micro_batches(self) -> int:
        """Parts of a batch whose gradients are added up: as :func:`micro_batches`."""
        return micro_batches(self.accumulate, self.measurements)

    @property
    def counts_hits(self) -> bool:
        """Whether evaluations ask which held-out tokens are the likeliest."""
        return "accuracy" in self.measurements or bool(self.exact_match)

    def counts(self) -> dict[str, float]:
        """What the run costs: N, n_params, D, training FLOPs C = 6 N D, and all matmuls (``C_exact_causal``).

        Of D tokens U are different ones, which it goes through ``epochs`` = D/U times, as laws of repeated data count
        them (Muennighoff et al. 2023).
        The N of C are those that a token passes, each time it does: :func:`flops_per_token`.
        """
        per_token = flops(self.shape).per_token("exact-causal")
        unique = min(self.unique_tokens // self.shape.n_ctx * self.shape.n_ctx, self.tokens)
        return {
            "N": self.shape.n_nonembedding,
            "n_params": self.shape.n_params,
            "D": self.tokens,
            "U": unique,
            "epochs": epochs(self.tokens, unique),
            "C": flops_per_token(self.shape) * self.tokens,
            "C_exact_causal": per_token * self.tokens,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is hashed into the run id. Fields of ``OMITTED`` are left out at their defaults."""
        values = {**asdict(self), "shape": self.shape.to_dict()}
        return {name: value for name, value in values.items() if name not in OMITTED or value != OMITTED[name]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainSpec:
        """The spec that :meth:`to_dict` gave.

        Raises:
            SpecError: an unknown or a missing key, or a value out of its domain.
            ShapeError: the same in its shape.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise SpecError(f"unknown key {name!r} in a run spec", hint=nearest(name, known))
        missing = [field.name for field in fields(cls) if field.default is MISSING and field.name not in values]
        if missing:
            raise SpecError(f"a run spec needs {', '.join(missing)}", hint=f"given: {', '.join(values) or 'nothing'}")
        return cls(**{**values, "shape": Shape.from_dict(values["shape"])})


def micro_batches(accumulate: int, measurements: Collection[str]) -> int:
    """Parts of a batch whose gradients are added up: ``accumulate``, two at least where noise is measured."""
    return max(accumulate, 2 if "noise" in measurements else 1)


_OMITTED = (
    *("accumulate", "precision", "measurements", "exact_match", "transfer", "early_stop"),
    *("schedule", "decay_steps", "optimizer", "parametrisation", "base_width", "base_head"),
    *("dropout", "z_loss", "balance_loss", "averaging", "averaging_share"),
)
OMITTED = {field.name: field.default for field in fields(TrainSpec) if field.name in _OMITTED}
"""Fields that a run's dictionary leaves out where they hold these values: runs keep the ids they had without them."""


def flops_per_token(shape: Shape) -> float:
    """6 N: training FLOPs a token of the non-embedding parameters that it passes, as often as it passes them."""
    return 6.0 * shape.n_active_nonembedding * (shape.n_recurrence or 1)


def stack_key(spec: TrainSpec) -> tuple[tuple[str, object], ...]:
    """Runs for which this is equal can be trained as one stack: names and values, of a shape each field's."""
    alike = ("batch_tokens", "accumulate", "engine", "precision", "optimizer")
    own = {"noise is measured": "noise" in spec.measurements, "anything is dropped": spec.dropout > 0}
    return tuple({**spec.shape.to_dict(), **{name: getattr(spec, name) for name in alike}, **own}.items())
