"""``Fit``: a law with its parameters, and every question that may be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError
from isoflop.fitting.found import Found
from isoflop.fitting.starts import starting_points
from isoflop.fitting.uncertainty import N_DRAWS, NORMAL, Bootstrap, Derived

if TYPE_CHECKING:
    from isoflop.fitting.holdout import Holdout
    from isoflop.fitting.prediction import Prediction
    from isoflop.fitting.profile import Profile
    from isoflop.fitting.published import PublishedTest
    from isoflop.fitting.rollout import LeaveOneOut, Rollout
    from isoflop.laws.presets import Preset

_OTHER_STARTS = 2


class Fit(Found):
    """A law with estimated parameters; its attributes are those of :class:`Found`."""

    def predict_interval(
        self, *, level: float | None = None, kind: str | None = None, new_run: bool = False, **columns: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high of the law's output at columns of its inputs, each of the columns' shape.

        Args:
            level: of the interval, the fit's own unless given.
            kind: of the bootstrap that it rests on.
            new_run: of a run that is yet to be trained: with the scatter of runs about the law.
            columns: the law's inputs.
        """
        from isoflop.fitting.derived import predicted

        return predicted(self, level, kind, new_run, columns)

    def bootstrap(self, n: int = N_DRAWS, seed: int = 0, kind: str | None = None) -> Bootstrap:
        """Refit ``n`` resamples, the same for the same seed; kept, so that asking again is free.

        Args:
            n: how many.
            seed: of the resampling.
            kind: "case" draws runs with replacement, "cluster" whole clusters of them; "residual" keeps the design
                and draws residuals, "wild" their signs (those of one cluster together), "parametric" noise of the
                objective's own density; "normal" refits nothing and draws from the covariance. Of a store normal;
                else clusters where the fit was given any, else cases.

        Raises:
            FitError: ``n`` is not positive, no such kind, or clusters asked of runs that have none.
        """
        from isoflop.fitting.resampling import normal_draws, resample

        if n < 1:
            raise FitError(f"the number of resamples must be positive, got {n}")
        kind = kind or self.default_kind
        if kind != NORMAL and self.of_points is not None:
            raise FitError(f"a store is read in passes: no bootstrap of kind {kind!r}", hint='kind="normal"')
        if (n, seed, kind) not in self._drawn and kind == NORMAL:
            self._drawn[n, seed, kind] = normal_draws(self.law, self.params, self.covariance(), n, seed)
        if (n, seed, kind) not in self._drawn:
            starts = np.vstack([self.vector, starting_points(self.problem, _OTHER_STARTS)])
            self._drawn[n, seed, kind] = resample(self.problem, starts, n, seed, kind)
        return self._drawn[n, seed, kind]

    def profile(self, name: str, level: float | None = None) -> Profile:
        """The least objective along one parameter, and its interval by likelihood ratio, for independent runs.

        The likelihood is the one that the objective stands for, its scale estimated at every point: Gauss for least
        squares, Gauss with exponential tails for Huber, Laplace for absolute deviations.

        Raises:
            FitError: no such parameter, or one that is fixed.
        """
        from isoflop.fitting.profile import profile

        if self.of_points is not None:
            raise FitError("a store is read in passes: no profile of its points", hint='interval(..., kind="normal")')
        return profile(self.problem, self.constraints, self.vector, name, self.level if level is None else level)

    def interval(self, name: str, level: float | None = None, kind: str | None = None) -> tuple[float, float]:
        """Interval of a parameter.

        Args:
            name: the parameter.
            level: the fit's own unless given.
            kind: a bootstrap as :meth:`bootstrap` names them (percentiles of 1000 resamples corrected for bias,
                skewness and the number of runs), "sandwich" for t-intervals of the robust covariance, "profile".

        Raises:
            FitError: no such parameter or kind.
        """
        from isoflop.fitting.derived import parameter

        return parameter(self, name, level, kind).interval

    def derive(
        self, fn: Callable[[Mapping[str, float]], float], level: float | None = None, kind: str | None = None
    ) -> Derived:
        """A function of the parameters with its interval, of any kind that :meth:`interval` takes.

        ``fn`` takes the parameters by name: ``fit.derive(lambda p: p["beta"] / (p["alpha"] + p["beta"]))``.

        Raises:
            FitError: ``fn`` asks for a parameter that is not there, or gives NaN or no number.
        """
        from isoflop.fitting.derived import derive

        return derive(self, fn, level, kind)

    def allocate(self, compute: float, level: float | None = None, kind: str | None = None) -> dict[str, Derived]:
        """Compute-optimal N, D, tokens per parameter and L at a budget in FLOPs, and the exponents a and b of N and D.

        Raises:
            FitError: the budget is no positive and finite number.
            PlanError: the law does not trade N against D, or has no optimum there.
        """
        from isoflop.fitting.allocation import allocate

        return allocate(self, compute, level, kind)

    def predict_at(self, level: float | None = None, **columns: ArrayLike) -> Prediction:
        """Predictions with intervals, each labelled interpolation or extrapolation, by how many decades in which input.

        Raises:
            LawError: an input is missing, unknown, or not positive and finite.
        """
        from isoflop.fitting.prediction import predict_at

        return predict_at(self, columns, level)

    def holdout(self, by: str | None = None, top: float = 0.0) -> Holdout:
        """Refit without the runs of the largest N (or D, or C), or within ``top`` decades of it, and predict them.

        A cluster of the fit is left out whole where any of its points is.

        Raises:
            FitError: the data have no such column, or too few runs remain.
        """
        from isoflop.fitting.holdout import hold_out

        return hold_out(self, by or self.law.inputs[0], top)

    def rollout(self, by: str | None = None) -> Rollout:
        """Fit the runs up to each N (or D, or C) in turn and predict the next, as one would have while scaling up.

        Raises:
            FitError: the data have no such column, or no part of the runs determines the law.
        """
        from isoflop.fitting.rollout import rollout

        return rollout(self, by or self.law.inputs[0])

    def leave_one_out(self, run: Sequence[object] | ArrayLike | None = None) -> LeaveOneOut:
        """Predict every run by a fit to the others.

        ``run`` labels the rows of one run, where it has several; the fit's clusters are taken unless it is given.

        Raises:
            FitError: labels that do not match the rows, or no refit that worked.
        """
        from isoflop.fitting.rollout import leave_one_out

        return leave_one_out(self, run)

    def test(self, preset: str | Preset) -> PublishedTest:
        """Whether the runs allow a published set of constants of the same law.

        Raises:
            LawError: no set of that name.
            FitError: it is of another law or in other units.
        """
        from isoflop.fitting.published import against

        return against(self, preset)

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
