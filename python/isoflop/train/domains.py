"""What each field of a run's spec may be by itself, as a table; what fields must be together is the spec's own."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping
from numbers import Real
from typing import Any, NamedTuple

from isoflop.errors import SpecError
from isoflop.train.measurements import MEASUREMENTS
from isoflop.train.newest import AVERAGES
from isoflop.train.parametrisation import PARAMETRISATIONS
from isoflop.train.schedules import FORMS
from isoflop.train.trainable import ENGINES

OPTIMIZERS = ("adamw", "adafactor", "muon")
"""Names of :data:`isoflop.train.optimizers.OPTIMIZERS`, without torch."""


class Domain(NamedTuple):
    """What a field may be, in words; the value as a spec keeps it, None where it is of another kind; which of those."""

    allowed: str
    kept: Callable[[Any], Any]
    holds: Callable[[Any], bool] = lambda _: True

    def keep(self, name: str, value: Any) -> Any:
        """``value`` as it is kept. Raises SpecError where the field cannot be that."""
        kept = self.kept(value)
        demand(kept is not None and self.holds(kept), name, value, self.allowed)
        return kept


def demand(holds: bool, name: str, value: object, allowed: str) -> None:
    """Raise SpecError unless ``holds``."""
    if not holds:
        raise SpecError(f"{name} = {value!r} must be {allowed}")


def _whole(value: Any) -> int | None:
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else None


def _real(value: Any) -> float | None:
    number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    return float(value) if number else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _one_of(known: Collection[str]) -> Domain:
    return Domain(f"one of {', '.join(map(repr, known))}", _text, lambda value: value in known)


def _list_of(what: str, kept: Callable[[Any], Any], holds: Callable[[Any], bool] = lambda _: True) -> Domain:
    """Each once, in order: equal lists make equal runs."""

    def keep(given: Any) -> tuple[Any, ...] | None:
        each = [kept(one) for one in given] if isinstance(given, (list, tuple)) else [None]
        return None if None in each else tuple(sorted(set(each)))

    return Domain(f"a list of {what}", keep, lambda values: all(map(holds, values)))


_COUNT = Domain("a positive whole number", _whole, lambda value: value >= 1)
_NATURAL = Domain("a whole number, zero or more", _whole, lambda value: value >= 0)
_POSITIVE = Domain("a positive number", _real, lambda value: value > 0)
_NOT_NEGATIVE = Domain("a number, zero or more", _real, lambda value: value >= 0)
_BELOW_ONE = Domain("a number in [0, 1)", _real, lambda value: 0 <= value < 1)

DOMAINS: Mapping[str, Domain] = {
    "corpus": Domain("the fingerprint of a corpus", _text),
    **dict.fromkeys(("tokens", "unique_tokens", "batch_tokens", "accumulate", "evaluations", "eval_tokens"), _COUNT),
    "seed": Domain("a whole number from 0 to 2^64 - 1", _whole, lambda value: 0 <= value < 2**64),
    **dict.fromkeys(("warmup_steps", "patience", "data_seed", "decay_steps"), _NATURAL),
    **dict.fromkeys(("base_width", "base_head"), _COUNT),
    **dict.fromkeys(("learning_rate", "grad_clip"), _POSITIVE),
    **dict.fromkeys(("final_learning_rate", "weight_decay", "z_loss", "balance_loss", "early_stop"), _NOT_NEGATIVE),
    **dict.fromkeys(("beta1", "beta2", "dropout"), _BELOW_ONE),
    "averaging_share": Domain("a share of the run, in (0, 1]", _real, lambda value: 0 < value <= 1),
    "schedule": _one_of(FORMS),
    "optimizer": _one_of(OPTIMIZERS),
    "parametrisation": _one_of(PARAMETRISATIONS),
    "averaging": _one_of(AVERAGES),
    "engine": _one_of(ENGINES),
    "measurements": _list_of(", ".join(MEASUREMENTS), _text, lambda one: one in MEASUREMENTS),
    "exact_match": _list_of("whole numbers from 1 to n_ctx", _whole, lambda one: one >= 1),
    "transfer": _list_of("fingerprints of corpora", _text),
}
"""By the name of the field; where a spec's default is None, that is allowed too."""
