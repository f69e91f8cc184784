"""Two systems, such as two optimizers, corpora or architectures: how much compute one saves over the other.

One law is fitted to the runs of both. E, A, B and the exponents are shared; a parameter and a token of the other system
are worth rho_N and rho_D of the baseline's (Volkova 2026, arXiv 2602.07712). Under C = 6 N D the other system then
reaches every loss with 1/(rho_N rho_D) of the baseline's compute. Runs of one size lie off the law to the same side in
both systems, so that what they share is no noise of the gain: sizes are resampled whole. Where separate laws fit better
than one, the saving depends on the loss, and is read off the separate laws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, NotIdentifiable, nearest
from isoflop.fitting.data import FitData, from_any, read_data
from isoflop.fitting.fit import fit
from isoflop.fitting.fitted import Fit
from isoflop.fitting.uncertainty import Derived
from isoflop.laws.catalogue import LAWS
from isoflop.planning.page import Shown
from isoflop.planning.pairs import Paired, paired, sizes_of
from isoflop.planning.separate import DIFFERENT, Separate, separately

_FORMS = (("two-systems", "chinchilla", ("N", "D")), ("two-systems-c", "power-c-floor", ("C",)))
"""The law of both systems, that of one of them, and what they read: the first that the runs have."""


@dataclass(frozen=True)
class Systems(Shown):
    """What one system needs beside another.

    Attributes:
        baseline, other: their names.
        fit: one law to the runs of both, exponents shared.
        gain: compute of the baseline over that of the other system at the same loss.
        rho: what a parameter and a token (or a FLOP) of the other system are worth, by parameter of the law.
        separate: a law for each, with the test whether the shared law is enough; None where they cannot be fitted.
        paired: the test over runs of equal size; None where there are fewer than two such pairs.
        warnings: what to know before acting on it.
    """

    baseline: str
    other: str
    fit: Fit
    gain: Derived
    rho: dict[str, Derived]
    separate: Separate | None
    paired: Paired | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "baseline": self.baseline,
            "other": self.other,
            "gain": vars(self.gain),
            "rho": {name: vars(value) for name, value in self.rho.items()},
            "law": self.fit.law.name,
            "formula": self.fit.law.formula,
            "source": self.fit.law.source,
            "params": dict(self.fit.params),
            "n_runs": self.fit.n_runs,
            "residual_rms": self.fit.residual_rms,
            "separate": None if self.separate is None else self.separate.to_dict(),
            "paired": None if self.paired is None else self.paired.to_dict(),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        rho = ", ".join(f"{name} = {value}" for name, value in self.rho.items())
        runs = f"{self.fit.n_runs} runs, {self.fit.residual_rms:.2%} rms off the law"
        lines = [
            f"{self.other} needs {saving(self.gain)} compute than {self.baseline} for the same loss",
            f"  {self.gain.level:.0%} interval; {rho}; {runs}",
        ]
        lines += [f"  {line}" for part in (self.paired, self.separate) if part is not None for line in part.lines()]
        law = self.fit.law
        lines.append(f"{law.name}: {law.formula}; {law.source}")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def saving(gain: Derived) -> str:
    """A gain in words: "1.3x [1.2, 1.4] less", or "1.3x [0.98, 1.7] more" where the baseline needs less."""
    if gain.value >= 1:
        return f"{gain.value:.3g}x [{gain.interval[0]:.3g}, {gain.interval[1]:.3g}] less"
    return f"{1 / gain.value:.3g}x [{1 / gain.interval[1]:.3g}, {1 / gain.interval[0]:.3g}] more"


def compare_systems(
    baseline: object, other: object, *, names: tuple[str, str] = ("baseline", "other"), level: float = 0.95
) -> Systems:
    """How much less compute the ``other`` system needs than the ``baseline`` for the same loss.

    Args:
        baseline, other: runs of each, as :func:`isoflop.fit` takes them: columns N, D and L, or C and L for runs along
            the compute optimum, where N and D are not told apart. Both losses are of the same evaluation.
        names: of the systems.
        level: of the intervals.

    Raises:
        FitError: columns that are missing or cannot be, too few runs, or different counts of N.
        NotIdentifiable: the runs do not determine the shared law; the hint says which would.
    """
    given = _read(baseline, other, names)
    both = given.fit(level)
    rho = {name: both.derive(itemgetter(name)) for name in both.law.names if name.startswith("rho_")}
    separate, unfitted = _separate(given, both, names, level)
    pairs = paired(given.first, given.second, given.inputs, level)
    warnings = (*_warnings(given, separate, names), *unfitted, *both.notes)
    return Systems(*names, both, gain_of(both), rho, separate, pairs, warnings)


def one_law(baseline: object, other: object, *, level: float = 0.95) -> Fit:
    """The law of both systems alone, as :func:`compare_systems` fits it: ``gain_of`` reads the gain off it."""
    return _read(baseline, other, ("baseline", "other")).fit(level)


def gain_of(both: Fit) -> Derived:
    """Compute of the baseline over that of the other system at the same loss, by one law of both."""
    scales = [name for name in both.law.names if name.startswith("rho_")]
    return both.derive(lambda params: math.prod(params[name] for name in scales))


def split_systems(data: object, by: str) -> dict[str, FitData]:
    """The runs of each system, by the name that they have in a column, in the order in which they first occur.

    Raises:
        FitError: no such column, or a single system in it.
    """
    given = from_any(data)
    if by not in given.columns:
        raise FitError(f"the data have no column {by!r}", hint=nearest(by, map(str, given.columns)))
    labels = np.array([str(label) for label in np.asarray(given.columns[by]).tolist()])
    known = list(dict.fromkeys(labels.tolist()))
    if len(known) < 2:
        raise FitError(f"column {by!r} has one system, {known[0] if known else 'none'}", hint="name another column")
    columns = {name: np.asarray(values) for name, values in given.columns.items() if name != by}
    return {name: replace(given, columns=columns).select(labels == name) for name in known}


@dataclass(frozen=True)
class _Given:
    """Runs of both, the law of both, that of one, and what they read."""

    law: str
    one: str
    inputs: tuple[str, ...]
    first: FitData
    second: FitData

    def fit(self, level: float) -> Fit:
        return fit(self.law, self._joined(), level=level)

    def _joined(self) -> FitData:
        two = (self.first, self.second)
        columns = {name: np.concatenate([runs.columns[name] for runs in two]) for name in (*self.inputs, "L")}
        columns["other"] = np.repeat([0.0, 1.0], [runs.n_runs for runs in two])
        weights = [np.ones(runs.n_runs) if runs.weights is None else runs.weights for runs in two]
        return replace(
            self.first,
            columns=columns,
            weights=np.concatenate(weights) if any(runs.weights is not None for runs in two) else None,
            sigma=None,
            cluster=self._sizes(),
            excluded=(*self.first.excluded, *self.second.excluded),
            source=" and ".join(dict.fromkeys(runs.source for runs in two if runs.source)),
        )

    def _sizes(self) -> NDArray[np.int64] | None:
        """The size that each run is of, where there are several of some: they lie off the law to the same side."""
        count, numbers = sizes_of(self.first, self.second, self.inputs)
        return numbers if 1 < count < numbers.size else None


def _read(baseline: object, other: object, names: tuple[str, str]) -> _Given:
    has = [set(map(str, from_any(runs).columns)) for runs in (baseline, other)]
    fitting = (form for form in _FORMS if all({*form[2], "L"} <= columns for columns in has))
    law, one, inputs = next(fitting, ("", "", ()))
    if not inputs:
        raise FitError(
            f"the systems have the columns {', '.join(sorted(has[0]))} and {', '.join(sorted(has[1]))}",
            hint="both need N, D and L, or C and L; --column L=NAME renames one",
        )
    first, second = (read_data(runs, LAWS[one])[0] for runs in (baseline, other))
    if first.n_convention and second.n_convention and first.n_convention != second.n_convention:
        raise FitError(
            f"N counts {first.n_convention} parameters in {names[0]} and {second.n_convention} in {names[1]}",
            hint="read both stores with one convention",
        )
    return _Given(law, one, inputs, first, second)


def _separate(
    given: _Given, both: Fit, names: tuple[str, str], level: float
) -> tuple[Separate | None, tuple[str, ...]]:
    fits = []
    for name, runs in zip(names, (given.first, given.second), strict=True):
        try:
            fits.append(fit(given.one, runs, level=level))
        except FitError as error:  # the shared law stands without them
            kind = "do not determine" if isinstance(error, NotIdentifiable) else "cannot be fitted by"
            return None, (f"the runs of {name} alone {kind} a law: that exponents are shared was not tested",)
    return separately(fits[0], fits[1], both, names, level), ()


def _warnings(given: _Given, separate: Separate | None, names: tuple[str, str]) -> tuple[str, ...]:
    said = []
    for name in given.inputs:
        a, b = given.first.columns[name], given.second.columns[name]
        if max(a.min(), b.min()) > min(a.max(), b.max()):
            said.append(f"no {name} lies in the range of both systems: the gain rests on the form of the law")
    if separate is not None and separate.p_value < DIFFERENT:
        said.append(
            f"one rescaled law is not enough (p = {separate.p_value:.2g}): the gain of {names[1]} changes with the loss"
        )
    return tuple(said)


def compare_all(systems: Mapping[str, object], baseline: str, *, level: float = 0.95) -> list[Systems]:
    """Every other system against ``baseline``.

    Raises:
        FitError: no system of that name, or as :func:`compare_systems`.
    """
    if baseline not in systems:
        raise FitError(f"no system {baseline!r}", hint=nearest(baseline, systems))
    return [
        compare_systems(systems[baseline], runs, names=(baseline, name), level=level)
        for name, runs in systems.items()
        if name != baseline
    ]
