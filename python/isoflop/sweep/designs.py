"""Runs of a group that are no grid: isoFLOP profiles, draws from ranges, and runs listed one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from isoflop.errors import SpecError
from isoflop.shape import Shape
from isoflop.sweep.asking import Asked, Goal, grid, with_scans
from isoflop.sweep.near import Near, Positive, Sizes
from isoflop.sweep.settings import TrainSettings, converted
from isoflop.train.rules import PowerRule

Range = tuple[Positive, Positive]
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """IsoFLOP profiles: at each budget, sizes evenly spaced in ln N about the one expected to be best.

    With D = r N tokens at the optimum, 6 N D = C puts it at N = sqrt(C / (6 r)); Hoffmann et al. 2022 find r near 20.

    Attributes:
        budgets: C of each profile, FLOPs.
        sizes: shapes of each.
        span: the largest N over the smallest.
        tokens_per_parameter: r.
    """

    budgets: Sizes
    sizes: Annotated[int, msgspec.Meta(ge=3)] = 7
    span: Annotated[float, msgspec.Meta(gt=1)] = 16.0
    tokens_per_parameter: Positive = 20.0

    def asked(self, space: Near, common: Mapping[str, Any], train: TrainSettings) -> list[Asked]:
        """The runs; a shape that is nearest to two sizes of a profile is in it once. Raises as :meth:`Near.nearest`."""
        found = []
        for budget in self.budgets:
            best = math.sqrt(budget / (6 * self.tokens_per_parameter))
            shares = np.linspace(-0.5, 0.5, self.sizes)
            shapes = dict.fromkeys(space.nearest(float(best * self.span**share), common) for share in shares)
            found += grid(list(shapes), [Goal(budget, compute=True)], train)
        return found


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Runs drawn evenly in logarithms from ranges, by Sobol's sequence (scrambled) or independently at random.

    Attributes:
        runs: how many.
        seed: of the draw.
        tokens: range of D.
        compute: range of C = 6 N D instead, FLOPs.
        n_nonembedding: range of N, each the nearest shape to it; else the shapes of the group are drawn from.
        batch_tokens, learning_rate: ranges; else those of ``[train]``.
    """

    runs: Count
    method: Literal["sobol", "random"] = "sobol"
    seed: Natural = 0
    tokens: Range | None = None
    compute: Range | None = None
    n_nonembedding: Range | None = None
    batch_tokens: Range | None = None
    learning_rate: Range | None = None

    def asked(
        self, shapes: Sequence[Shape], space: Near, common: Mapping[str, Any], train: TrainSettings
    ) -> list[Asked]:
        """The runs.

        Raises:
            SpecError: neither or both of ``tokens`` and ``compute``, nothing to draw shapes from, a range that falls.
        """
        goal = self.compute or self.tokens
        if goal is None or (self.compute is not None and self.tokens is not None):
            raise SpecError("sample needs a range of tokens or of compute, and not both", hint="tokens = [1e5, 1e7]")
        if self.n_nonembedding is None and not shapes:
            raise SpecError("sample has no shapes to draw from", hint="n_nonembedding = [1e4, 1e6], or shapes")
        found = []
        for size, length, batch, rate in self._draws():
            shape = (
                shapes[min(int(size * len(shapes)), len(shapes) - 1)]
                if self.n_nonembedding is None
                else space.nearest(_within(self.n_nonembedding, size), common)
            )
            drawn = {"batch_tokens": (self.batch_tokens, batch), "learning_rate": (self.learning_rate, rate)}
            said: dict[str, Any] = {
                name: PowerRule(scale=_within(*each)) for name, each in drawn.items() if each[0] is not None
            }
            tokens = Goal(_within(goal, length), compute=self.compute is not None).tokens(shape)
            found += with_scans(shape, tokens, replace(train, **said))
        return found

    def _draws(self) -> NDArray[np.float64]:
        """(runs, 4) in [0, 1): of the shape, the length, the batch and the learning rate."""
        if self.method == "random":
            return np.random.default_rng(self.seed).random((self.runs, 4))
        from scipy.stats import qmc

        drawn = qmc.Sobol(4, rng=np.random.default_rng(self.seed)).random_base2(math.ceil(math.log2(self.runs)))
        return np.asarray(drawn[: self.runs])


RUNS_HINT = "runs = [{ n_layer = 2, d_model = 64, n_head = 2, tokens = 1e6, learning_rate = 1e-3 }]"
_SETTINGS = {field.name for field in fields(TrainSettings)}


def listed(entries: Any, common: Mapping[str, Any], train: Mapping[str, Any]) -> list[Asked]:
    """Runs one by one: fields of a shape, ``tokens`` or ``budget``, and settings of ``[train]`` in the place of those.

    Raises:
        SpecError: no list of tables, a run without its tokens, or a setting out of its domain.
        ShapeError: fields that make no shape.
    """
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise SpecError(f"runs = {entries!r} must be a list of tables", hint=RUNS_HINT)
    found = []
    for number, entry in enumerate(entries):
        goals = {name: entry[name] for name in ("tokens", "budget") if name in entry}
        if len(goals) != 1:
            raise SpecError(f"run {number} of runs needs tokens or a budget, and not both", hint=RUNS_HINT)
        [(name, amount)] = goals.items()
        where = f"run {number} of runs"
        goal = Goal(converted(amount, Positive, where), compute=name == "budget")
        settings = {key: value for key, value in entry.items() if key in _SETTINGS}
        own = {key: value for key, value in entry.items() if key not in _SETTINGS and key not in goals}
        shape = Shape.from_dict({**common, **own})
        found += with_scans(shape, goal.tokens(shape), converted({**train, **settings}, TrainSettings, where))
    return found


def _within(ends: tuple[float, float] | None, share: float) -> float:
    assert ends is not None, "a range that is not said is not drawn from"
    low, high = ends
    if low > high:
        raise SpecError(f"sample has a range that falls: [{low:g}, {high:g}]", hint="the lowest first")
    return float(low * (high / low) ** share)
