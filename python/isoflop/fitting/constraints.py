"""What a user holds fixed, bounds or ties, as a linear map from the solver's free coordinates to the law's own.

Constraints are said of natural parameters; the law's coordinates u are the same or their logarithms, centred. Natural
logarithms are affine in u, q = T u + t, so that fixing, bounding or tying entries of q is linear in u.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, nearest
from isoflop.laws.law import Law

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Constraints:
    """Restrictions on natural parameters.

    Attributes:
        fix: values that stay.
        bounds: (low, high) by name, inside the parameter's domain.
        tie: groups of names that have one value.
    """

    fix: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tie: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(
        cls,
        law: Law,
        fix: Mapping[str, float] | None,
        bounds: Mapping[str, tuple[float, float]] | None,
        tie: Iterable[Sequence[str]] | None,
    ) -> Constraints:
        """The restrictions, checked against the law.

        Raises:
            FitError: an unknown parameter, a value outside its domain, empty bounds, or two restrictions of one
                parameter that exclude each other.
        """
        fixed = {name: _value(name, value) for name, value in (fix or {}).items()}
        bounded = {name: _interval(name, ends) for name, ends in (bounds or {}).items()}
        tied = tuple(tuple(group) for group in tie or ())
        for name in (*fixed, *bounded, *(name for group in tied for name in group)):
            if name not in law.names:
                raise FitError(f"{law.name} has no parameter {name!r}", hint=nearest(name, law.names))
        domains = {parameter.name: parameter.domain for parameter in law.parameters}
        for name, value in fixed.items():
            low, high = domains[name]
            if not (low <= value <= high and np.isfinite(value)):
                raise FitError(f"fix {name} = {value:g} is outside its domain ({low:g}, {high:g})")
        for name, (low, high) in bounded.items():
            if not (low < high and low <= domains[name][1] and high >= domains[name][0]):
                raise FitError(f"bounds ({low:g}, {high:g}) leave nothing of {name}", hint=f"domain {domains[name]}")
        once = [name for group in tied for name in group]
        for name in {*fixed, *bounded, *once}:
            if (name in fixed) + (name in bounded) + once.count(name) > 1:
                raise FitError(f"{name} is restricted twice", hint="fix, bound or tie a parameter, one of them")
        if any(len(group) < 2 for group in tied):
            raise FitError("a tie needs two parameters or more", hint='tie=[("alpha", "beta")]')
        if set(fixed) == set(law.names):
            raise FitError(f"all parameters of {law.name} are fixed: nothing to fit", hint="law.predict evaluates it")
        return cls(fixed, bounded, tied)

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter that is named."""
        return (*self.fix, *self.bounds, *(name for group in self.tie for name in group))

    def __str__(self) -> str:
        said = [f"{name} = {value:g} fixed" for name, value in self.fix.items()]
        said += [f"{name} in ({low:g}, {high:g})" for name, (low, high) in self.bounds.items()]
        return ", ".join(said + [" = ".join(group) for group in self.tie])


def _value(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise FitError(f"fix {name} must be a number, got {value!r}", hint='fix={"E": 1.7}') from None


def _interval(name: str, ends: Any) -> tuple[float, float]:
    try:
        low, high = ends
        return float(low), float(high)
    except (TypeError, ValueError):
        raise FitError(f"bounds {name} must be (low, high), got {ends!r}", hint='bounds={"E": (0, 2)}') from None


@dataclass(frozen=True)
class Coordinates:
    """Free coordinates v (q,) with u = origin + spread v, and v = gather u + offset.

    Attributes:
        centre: ln x0 of each input, shape (inputs,).
        origin, spread: shapes (p,) and (p, q).
        gather, offset: shapes (q, p) and (q,).
        lower, upper: bounds of v.
        members: which parameters each free coordinate moves as its own.
        plain: whether each is one coordinate of the law, unrestricted.
    """

    centre: Array
    origin: Array
    spread: Array
    gather: Array
    offset: Array
    lower: Array
    upper: Array
    members: tuple[tuple[int, ...], ...]
    plain: tuple[bool, ...]

    @classmethod
    def of(cls, law: Law, centre: Array, constraints: Constraints) -> Coordinates:
        """The map of a law whose inputs are centred at ``centre``.

        Raises:
            FitError: a tie of a scale with an exponent or a floor.
        """
        code = law.code
        p = len(law.names)
        log = np.array(code.LOG)
        rows, shift = np.eye(p), np.zeros(p)
        at = {name: i for i, name in enumerate(law.names)}
        held = [at[name] for name in constraints.names]
        if held:
            slope, intercept = _affine(law, centre)
            if slope is None:
                centre = np.zeros_like(centre)
                slope, intercept = np.eye(p), np.zeros(p)
            rows[held], shift[held] = slope[held], intercept[held]
        low, high = np.array(code.LOWER, dtype=np.float64), np.array(code.UPPER, dtype=np.float64)
        for name, pair in constraints.bounds.items():
            i = at[name]
            with np.errstate(divide="ignore", invalid="ignore"):
                low[i], high[i] = np.clip(np.log(np.maximum(pair, 0.0)) if log[i] else pair, low[i], high[i])
        groups = [tuple(at[name] for name in group) for group in constraints.tie]
        for group, named in zip(groups, constraints.tie, strict=True):
            if len({bool(log[i]) for i in group}) > 1:
                raise FitError(f"cannot tie {' = '.join(named)}: one is a scale", hint="tie parameters of one kind")
        bound_up = {i for group in groups for i in group} | {at[name] for name in constraints.fix}
        members = sorted([*groups, *((i,) for i in range(p) if i not in bound_up)])
        fixed = np.zeros(p)
        for name, value in constraints.fix.items():
            fixed[at[name]] = np.log(value) if log[at[name]] else value
        back = np.linalg.inv(rows)
        select = np.zeros((p, len(members)))
        for k, group in enumerate(members):
            select[list(group), k] = 1.0
        first = [group[0] for group in members]
        return cls(
            centre=centre,
            origin=np.ascontiguousarray(back @ (fixed - shift)),
            spread=np.ascontiguousarray(back @ select),
            gather=rows[first],
            offset=shift[first],
            lower=np.array([max(low[i] for i in group) for group in members]),
            upper=np.array([min(high[i] for i in group) for group in members]),
            members=tuple(members),
            plain=tuple(len(group) == 1 and group[0] not in held for group in members),
        )

    @property
    def restricted(self) -> bool:
        """Whether anything is fixed, bounded or tied."""
        return not (all(self.plain) and len(self.members) == self.origin.size)

    def expand(self, v: Array) -> Array:
        """The law's coordinates (..., p) of free ones (..., q)."""
        return np.asarray(v @ self.spread.T + self.origin)

    def contract(self, u: Array) -> Array:
        """The way back."""
        return np.asarray(u @ self.gather.T + self.offset)


def _affine(law: Law, centre: Array) -> tuple[Array | None, Array]:
    """T and t of q = T u + t, q the natural parameters with scales as logarithms; None where q is not affine in u."""
    p = len(law.names)
    log = np.array(law.code.LOG)

    def q(u: Array) -> Array:
        natural = law.code.natural(u, centre)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(log, np.log(np.where(log, natural, 1.0)), natural)

    base = np.where(log, 0.0, 0.5)
    origin = q(base)
    slope = np.stack([q(base + step) - origin for step in 0.25 * np.eye(p)], axis=1) / 0.25
    probe = base + np.linspace(-0.1, 0.3, p)
    if not np.allclose(q(probe), origin + slope @ (probe - base), rtol=1e-9, atol=1e-9):
        return None, np.zeros(p)
    return slope, origin - slope @ base
