"""``fit``: a law and runs in, parameters with their uncertainty out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError
from isoflop.fitting.checks import require_identifiable
from isoflop.fitting.data import FitData, read_data
from isoflop.fitting.objective import LeastSquares, Objective
from isoflop.fitting.solve import Certificate, Problem, minimise, starting_points
from isoflop.fitting.uncertainty import Bootstrap, Derived, covariance, percentile_interval, resample
from isoflop.laws.catalogue import get_law
from isoflop.laws.law import Law

if TYPE_CHECKING:
    from isoflop.fitting.holdout import Holdout

N_STARTS = 24
N_DRAWS = 1000
_OTHER_STARTS = 2
_ILL_CONDITIONED = 1e8


@dataclass(frozen=True)
class Fit:
    """A law with estimated parameters.

    Attributes:
        law: the law that was fitted.
        params: natural parameters by name.
        standard_errors: by name, from s^2 (J'J)^-1 and the delta method; NaN for a parameter at a bound.
        objective: the minimised sum.
        criterion: what was summed: least squares or Huber of the log loss.
        residual_rms: root mean square of ln L - ln Lhat.
        n_runs: runs that were fitted.
        certificate: how sure the optimum is.
        notes: what a reader must know: derived columns, parameters at bounds, inputs that the law ignores.
        excluded: runs left out and why.
        data: the columns that were fitted.
        level: of intervals, unless another is asked for.
        n_starts: starts that were polished.
    """

    law: Law
    params: dict[str, float]
    standard_errors: dict[str, float]
    objective: float
    criterion: Objective
    residual_rms: float
    n_runs: int
    certificate: Certificate
    notes: tuple[str, ...]
    excluded: tuple[str, ...]
    data: FitData = field(repr=False)
    level: float = 0.95
    n_starts: int = N_STARTS
    _drawn: dict[tuple[int, int], Bootstrap] = field(default_factory=dict, repr=False, compare=False)

    def predict(self, **columns: ArrayLike) -> NDArray[np.float64]:
        """Loss (nats per token) at columns of the law's inputs."""
        return self.law.predict(self.params, **columns)

    def bootstrap(self, n: int = N_DRAWS, seed: int = 0) -> Bootstrap:
        """Refit ``n`` resamples of the runs, the same for the same seed; kept, so that asking again is free.

        Raises:
            FitError: ``n`` is not positive.
        """
        if n < 1:
            raise FitError(f"the number of resamples must be positive, got {n}")
        if (n, seed) not in self._drawn:
            problem = Problem.of(self.law, self.data, self.criterion)
            own = problem.centred(self.law.form.to_vector(self.params))
            others = starting_points(problem, _OTHER_STARTS)
            self._drawn[n, seed] = resample(problem, np.vstack([own, others]), n, seed)
        return self._drawn[n, seed]

    def interval(self, name: str, level: float | None = None) -> tuple[float, float]:
        """Bootstrap interval of a parameter (percentiles over 1000 resamples of the runs).

        Raises:
            FitError: no such parameter.
        """
        return self.bootstrap().interval(name, self.level if level is None else level)

    def derive(self, fn: Callable[[Mapping[str, float]], float], level: float | None = None) -> Derived:
        """A function of the parameters with its interval over the bootstrap draws.

        ``fn`` takes the parameters by name: ``fit.derive(lambda p: p["beta"] / (p["alpha"] + p["beta"]))``.
        """
        level = self.level if level is None else level
        drawn = self.bootstrap()
        values = np.array([fn(dict(zip(drawn.names, row, strict=True))) for row in drawn.draws.tolist()])
        return Derived(float(fn(self.params)), percentile_interval(values, level), level)

    def holdout(self, by: str | None = None) -> Holdout:
        """Refit without the runs of the largest N (or D, or C) and predict them.

        Raises:
            FitError: the data have no such column, or too few runs remain.
        """
        from isoflop.fitting.holdout import hold_out

        return hold_out(self, by or self.law.inputs[0])

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON; ``Fit.from_dict`` reads it back."""
        from isoflop.fitting.record import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Fit:
        """The fit of a record written by :meth:`to_dict`."""
        from isoflop.fitting.record import from_dict

        return from_dict(record)

    def save(self, path: str | Path) -> None:
        """Write the fit as JSON."""
        from isoflop.fitting.record import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Fit:
        """Read a fit written by :meth:`save`."""
        from isoflop.fitting.record import load

        return load(Path(path))

    def __str__(self) -> str:
        from isoflop.fitting.present import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from isoflop.fitting.present import as_html

        return as_html(self)


def fit(
    law: str | Law, data: object, *, objective: Objective | None = None, starts: int | None = None, level: float = 0.95
) -> Fit:
    """Estimate a law's parameters from runs, by least squares of log loss unless another objective is given.

    Args:
        law: a name such as "chinchilla", or a :class:`~isoflop.Law`.
        data: columns by name ("N", "D", "C", "L"), an Arrow, pandas or polars table with them, or a run store.
            N in parameters, D in tokens, C in FLOPs, L in nats per token; C defaults to 6 N D.
        objective: ``LeastSquares()`` or ``Huber(1e-3)``.
        starts: how many starts are polished.
        level: of the intervals.

    Raises:
        LawError: no law of that name.
        FitError: a column is missing, a value is not positive and finite (names the row), or too few runs.
        NotIdentifiable: the runs cannot separate the parameters; the hint says which run would.
    """
    law = get_law(law) if isinstance(law, str) else law
    objective = LeastSquares() if objective is None else objective
    n_starts = N_STARTS if starts is None else starts
    if n_starts < 1:
        raise FitError(f"starts must be positive, got {n_starts}")
    if not 0 < level < 1:
        raise FitError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    columns, notes = read_data(data, law)
    require_identifiable(law, columns)
    problem = Problem.of(law, columns, objective)
    vector, value, certificate = minimise(problem, n_starts)
    params = dict(zip(law.names, problem.to_natural(vector).tolist(), strict=True))
    spread = np.sqrt(np.diag(covariance(problem, vector)))
    errors = dict(zip(law.names, spread.tolist(), strict=True))
    residuals, _ = problem.residuals(vector)
    return Fit(
        law=law,
        params=params,
        standard_errors=errors,
        objective=value,
        criterion=objective,
        residual_rms=float(np.sqrt(np.mean(residuals**2))),
        n_runs=columns.n_runs,
        certificate=certificate,
        notes=(*notes, *_warnings(law, columns, params, errors, certificate)),
        excluded=columns.excluded,
        data=columns,
        level=level,
        n_starts=n_starts,
    )


def _warnings(
    law: Law, data: FitData, params: dict[str, float], errors: dict[str, float], certificate: Certificate
) -> list[str]:
    """What the numbers alone do not say."""
    notes = []
    for name in set(data.columns) - {*law.inputs, "L"}:
        distinct = np.unique(data.columns[name]).size
        if distinct > 1:
            notes.append(f"the runs have {distinct} values of {name}, which {law.name} does not see: select runs first")
    domains = {parameter.name: parameter.domain for parameter in law.parameters}
    for name in certificate.at_bounds:
        if name == law.form.floor:
            notes.append(f"{name} is at 0: the runs do not show a floor")
        else:
            low, high = domains[name]
            notes.append(f"{name} = {params[name]:.3g} is at a bound of its domain ({low:g}, {high:g})")
    for term in law.form.terms:
        name = term.exponent
        low, high = domains[name]
        if name not in certificate.at_bounds and not (
            low < params[name] - 2 * errors[name] and params[name] + 2 * errors[name] < high
        ):
            notes.append(f"the interval of {name} reaches a bound of its domain: these runs hardly determine it")
    if certificate.condition > _ILL_CONDITIONED:
        notes.append(
            f"ill-conditioned ({certificate.condition:.1e}): parameters trade off; trust predictions inside the runs"
        )
    return notes
