"""Runs that may be chosen: shapes that the C++ core enumerates, each with several lengths and batches, or a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.counting.enumeration import TOLERANCE, shapes_near
from isoflop.designing.inputs import Columns, completed, has_batches
from isoflop.errors import PlanError
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.shape import Shape

Array = NDArray[np.float64]

_SHAPES: Mapping[str, Any] = {"aspect": (8, 64), "multiple_of": 8, "d_head": (16, 64), "kv_group": 1, "ff_ratio": 4}
"""What keeps a sweep's models alike but for their size, as ``near`` of a study does."""

_ALIKE, _HEAD = 64, 64
"""Of so many shapes nearest to a size, those within the tolerance are as good, and heads as wide as this preferred."""

_DECADES = 3
"""Of compute below the largest run, in which runs are looked for where nobody says how small they may be."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Where runs are looked for.

    Attributes:
        n_params: range of N: no run is smaller than the first. From the smallest N of the runs so far, or three decades
            of compute below the largest affordable run, unless given.
        n_tokens: range of D.
        tokens_per_param: range of D/N.
        batches: tokens a step, for laws that see them.
        sizes, lengths: how many values of N, and of D for each of them.
        shape: arguments of :func:`isoflop.shapes_near` that hold for every shape: ``{"n_ctx": 1024, "aspect": (16,
            64)}``.
    """

    n_params: tuple[float, float] | None = None
    n_tokens: tuple[float, float] | None = None
    tokens_per_param: tuple[float, float] = (2.0, 500.0)
    batches: tuple[float, ...] = ()
    sizes: int = 20
    lengths: int = 16
    shape: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("n_params", "n_tokens", "tokens_per_param"):
            ends = getattr(self, name)
            if ends is not None and not 0 < ends[0] <= ends[1] < math.inf:
                raise PlanError(f"{name} is {ends}; a range is (low, high), both positive and finite")
        for name in ("sizes", "lengths"):
            if getattr(self, name) < 2:
                raise PlanError(f"{name} is {getattr(self, name)}; two at least are needed to see a slope")


@dataclass(frozen=True)
class Candidates:
    """Runs to choose from, one a row.

    Attributes:
        columns: N, D, C and the law's other inputs.
        shapes: of each row; none for a table.
    """

    columns: Columns
    shapes: tuple[Shape, ...] = ()

    @property
    def compute(self) -> Array:
        """FLOPs of each."""
        return self.columns["C"]

    def where(self, kept: NDArray[np.bool_]) -> Candidates:
        """Those that are ``kept``."""
        shapes = tuple(shape for shape, keep in zip(self.shapes, kept, strict=False) if keep)
        return Candidates({name: values[kept] for name, values in self.columns.items()}, shapes)


def from_table(columns: Columns, law: Law, most: float) -> Candidates:
    """The rows of a table that cost ``most`` FLOPs at most.

    Raises:
        PlanError: a column is missing or wrong, or no row is affordable.
    """
    found = Candidates(completed(columns, law))
    return _affordable(found, found.compute <= most, most)


def from_space(space: Space, law: Law, most: float, smallest: float | None, n_convention: str) -> Candidates:
    """Runs of a space that cost ``most`` FLOPs at most, N counted as ``n_convention`` says.

    Raises:
        PlanError: nothing affordable in the space, or batches that the law needs and that were not said.
        ShapeError: fields of shapes out of their domain.
    """
    if has_batches(law) and not space.batches:
        raise PlanError(f"{law.name} sees the batch", hint="Space(batches=(2**16, 2**18, 2**20))")
    low, high = space.n_params or _sizes(space, most, smallest)
    goal = "n_params" if n_convention == "total" else "n_nonembedding"
    shapes: dict[Shape, None] = {}
    for size in np.geomspace(low, high, space.sizes):
        asked: dict[str, Any] = {**_SHAPES, **space.shape, goal: float(size), "limit": _ALIKE}
        near = shapes_near(**asked)
        close = [shape for shape, off in zip(near, near.columns["distance"], strict=True) if off <= TOLERANCE]
        shapes[min(close or [near[0]], key=lambda shape: abs(math.log(shape.d_head / _HEAD)))] = None
    rows, kept = [], []
    for shape in shapes:
        n = float(getattr(shape, goal))
        ends = _lengths(space, n, most)
        if not low / 1.5 <= n <= high * 1.5 or ends is None:
            continue
        for d in dict.fromkeys(float(f"{d:.3g}") for d in np.geomspace(*ends, space.lengths)):
            for batch in space.batches or (0.0,):
                rows.append((n, d, batch))
                kept.append(shape)
    table = np.array(rows).reshape(-1, 3).T
    columns = dict(zip(("N", "D", "B") if space.batches else ("N", "D"), table, strict=False))
    if not rows:
        raise PlanError(
            f"no run of {low:.3g} parameters or more costs {most:.3g} FLOP at most", hint="smaller n_params or n_tokens"
        )
    found = Candidates(completed(columns, law), tuple(kept))
    return _affordable(found, found.compute <= most * (1 + 1e-2), most)


def _sizes(space: Space, most: float, smallest: float | None) -> tuple[float, float]:
    """Range of N where it was not said: up to the largest that the budget can train at all."""
    least, _ = space.tokens_per_param
    high = math.sqrt(most / (FLOP_PER_PARAM_TOKEN * least))
    low = smallest if smallest is not None else high * 10.0 ** (-_DECADES / 2)
    return min(low, high), high


def _lengths(space: Space, n: float, most: float) -> tuple[float, float] | None:
    """Range of D of a size; None where it has none."""
    few, many = space.tokens_per_param
    low, high = few * n, min(many * n, most / (FLOP_PER_PARAM_TOKEN * n))
    if space.n_tokens is not None:
        low, high = max(low, space.n_tokens[0]), min(high, space.n_tokens[1])
    return (low, high) if low <= high else None


def _affordable(found: Candidates, kept: NDArray[np.bool_], most: float) -> Candidates:
    if not kept.any():
        raise PlanError(
            f"every candidate costs more than the {most:.3g} FLOP that one run may: the cheapest costs "
            f"{found.compute.min():.3g}",
            hint="a larger budget, fewer slots, or smaller runs",
        )
    return found.where(kept)
