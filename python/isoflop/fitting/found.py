"""``Found``: what a fit found, before anything is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError, nearest
from isoflop.fitting.constraints import Constraints
from isoflop.fitting.covariance import covariance, sandwich
from isoflop.fitting.data import FitData
from isoflop.fitting.identifiability import Doubt
from isoflop.fitting.objective import Objective
from isoflop.fitting.problem import Problem
from isoflop.fitting.solve import Certificate
from isoflop.fitting.uncertainty import NORMAL, Bootstrap
from isoflop.laws.law import Law

N_STARTS = 24


@dataclass(frozen=True)
class Found:
    """A law with estimated parameters.

    Attributes:
        law: the law that was fitted.
        params: natural parameters by name.
        standard_errors: by name, from s^2 (J'J)^-1, robust to clusters where the fit was given any, and the delta
            method; NaN for a parameter at a bound.
        objective: the minimised sum.
        criterion: what was summed: least squares or Huber of the log loss.
        residual_rms: root mean square of the residuals, of logarithms where the criterion is; in units of the known
            noise where that was given.
        n_runs: runs that were fitted.
        certificate: how sure the optimum is.
        notes: what a reader must know: derived columns, restrictions, and the doubts as text.
        doubts: what the runs do not determine, each with its kind and the run that would.
        excluded: runs left out and why.
        data: the columns that were fitted.
        constraints: what was fixed, bounded or tied.
        level: of intervals, unless another is asked for.
        n_starts: starts that were polished.
        of_points: covariance of the parameters in the law's order, for a store that was read in passes: ``data`` is
            then the sample that gave the start, and intervals are taken from the covariance.
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
    doubts: tuple[Doubt, ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    level: float = 0.95
    n_starts: int = N_STARTS
    of_points: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    _drawn: dict[tuple[int, int, str], Bootstrap] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def problem(self) -> Problem:
        """What was minimised."""
        return Problem.of(self.law, self.data, self.criterion, self.constraints)

    @cached_property
    def vector(self) -> NDArray[np.float64]:
        """The parameters in the solver's free coordinates, shape (q,)."""
        return self.problem.free(np.array([self.params[name] for name in self.law.names]))

    @property
    def default_kind(self) -> str:
        """Of intervals, unless another is asked for; as :meth:`isoflop.Fit.bootstrap` names them."""
        return NORMAL if self.of_points is not None else "case" if self.data.cluster is None else "cluster"

    def predict(self, **columns: ArrayLike) -> NDArray[np.float64]:
        """The law's output, a loss in nats per token unless it says otherwise, at columns of its inputs.

        Raises:
            LawError: an input is missing, unknown, or not positive and finite.
        """
        return self.law.predict(self.params, **columns)

    def covariance(self, kind: str = "model") -> NDArray[np.float64]:
        """Covariance of the parameters, shape (p, p): "model" under one spread of all runs, "sandwich" robust to runs
        that differ in noise and, where clusters were given, to runs of one cluster that are alike.
        """
        of = {"model": covariance, "sandwich": sandwich}
        if kind not in of:
            raise FitError(f"no covariance of kind {kind!r}", hint=nearest(kind, of))
        if self.of_points is not None:
            if kind == "sandwich":
                raise FitError("a store is read in passes: no sandwich of its points", hint='fit(..., weights="run")')
            return self.of_points
        return of[kind](self.problem, self.vector)
