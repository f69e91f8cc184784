"""What a study says: its laws fitted, checked on runs they did not see, and the plan that follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isoflop.errors import FitError
from isoflop.fitting import Fit, FitData, fit
from isoflop.fitting.holdout import Holdout
from isoflop.laws import get_law
from isoflop.planning import Plan, plan
from isoflop.report.findings import Finding, find
from isoflop.runs import RunStore
from isoflop.runs.studies import scaling_runs

JOINT = ("chinchilla", "kaplan")
_SAME = 0.01


@dataclass(frozen=True)
class Slice:
    """Which runs a law of one variable is fitted to: a line through the study."""

    law: str
    runs: str


SLICES = (
    Slice("power-n", "largest D"),
    Slice("power-n-floor", "largest D"),
    Slice("power-d", "largest N"),
    Slice("power-d-floor", "largest N"),
    Slice("power-c", "frontier"),
    Slice("power-c-floor", "frontier"),
)

_BEYOND = 10.0
"""Times the compute of the largest run: what is planned for where no budget is given."""


@dataclass(frozen=True)
class FittedLaw:
    """A fit, the runs it is of, and its check on runs it did not see: of the largest N, or D or C for a law in it.

    Where nothing can be held out, ``holdout`` is None and ``unchecked`` says why.
    """

    fit: Fit
    runs: str
    holdout: Holdout | None
    unchecked: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What the table of laws shows, as plain values."""
        return {
            "law": self.fit.law.name,
            "formula": self.fit.law.formula,
            "runs": self.runs,
            "n_runs": self.fit.n_runs,
            "params": {
                name: {"value": value, "interval": list(self.fit.interval(name))}
                for name, value in self.fit.params.items()
            },
            "residual_rms": self.fit.residual_rms,
            "holdout_by": None if self.holdout is None else self.holdout.by,
            "holdout_error": None if self.holdout is None else self.holdout.mean_absolute_relative_error,
            "unchecked": self.unchecked,
            "notes": list(self.fit.notes),
        }


@dataclass(frozen=True)
class Analysis:
    """A study's answer. ``best`` is the joint law with the smallest error on the largest model held out.

    ``data`` are the runs that the laws are fitted to; ``findings`` come from those made for other purposes. ``skipped``
    names each law, or purpose, that these runs cannot determine, and why.
    """

    store: RunStore
    data: FitData
    laws: tuple[FittedLaw, ...]
    best: FittedLaw
    plan: Plan
    skipped: dict[str, str]
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "store": self.store.url,
            "n_runs": self.data.n_runs,
            "excluded": list(self.data.excluded),
            "laws": [law.to_dict() for law in self.laws],
            "best": self.best.fit.law.name,
            "findings": [finding.to_dict() for finding in self.findings],
            "skipped": self.skipped,
            "plan": self.plan.to_dict(),
        }


def analyse(store: RunStore, *, compute: str | float | None = None, level: float = 0.95) -> Analysis:
    """Fit the joint laws to all finished runs and the laws of one variable to their slices, and plan for ``compute``.

    Without a budget it is some ten times the compute of the largest run.

    Runs that a study made for another purpose alone, a scan of batch sizes for one, are left to the findings.

    Raises:
        FitError: the runs determine neither joint law; the message is that of the first.
        PlanError: an unreadable budget.
    """
    data = scaling_data(store)
    joint, failures = joint_laws(data, level)
    if not joint:
        raise next(iter(failures.values()))
    skipped = {name: error.message for name, error in failures.items()}
    laws, best = list(joint), min(joint, key=merit)
    for part in SLICES:
        try:
            runs = select(data, part.runs)
            alone = {name: runs.columns[name] for name in (*get_law(part.law).inputs, "L")}
            laws.append(_fitted(part.law, replace(runs, columns=alone), part.runs, level))
        except FitError as error:
            skipped[part.law] = error.message
    findings, unfound = find(store, level=level)
    budget = float(f"{_BEYOND * data.columns['C'].max():.0e}") if compute is None else compute
    planned = plan(budget, best.fit, level=level)
    return Analysis(store, data, tuple(laws), best, planned, skipped | unfound, findings)


def scaling_data(store: RunStore) -> FitData:
    """The finished runs that laws of N, D and C are fitted to.

    Raises:
        FitError: there are none.
    """
    data = store.fit_data(scaling_runs(store))
    if not data.n_runs:
        why = f": {data.excluded[0]}" if data.excluded else ""
        raise FitError(f"there are no finished runs to fit{why}", hint="isoflop runs ls shows the state of each run")
    return data


def joint_laws(data: FitData, level: float) -> tuple[tuple[FittedLaw, ...], dict[str, FitError]]:
    """The laws of N and D fitted to all runs, and why others were not."""
    laws: list[FittedLaw] = []
    failures: dict[str, FitError] = {}
    for name in JOINT:
        try:
            laws.append(_fitted(name, data, "all", level))
        except FitError as error:
            failures[name] = error
    return tuple(laws), failures


def select(data: FitData, runs: str) -> FitData:
    """The runs of a slice: of the ``largest D`` or ``largest N`` (within a percent), or on the compute ``frontier``.

    A run is on the frontier if no run of as little or less compute has a lower loss.
    """
    columns = data.columns
    if runs == "frontier":
        order = np.lexsort((columns["L"], columns["C"]))
        best_so_far = np.minimum.accumulate(columns["L"][order])
        kept = np.zeros(data.n_runs, bool)
        kept[order] = np.r_[True, columns["L"][order][1:] < best_so_far[:-1]]
        return data.select(kept)
    values = columns[runs.removeprefix("largest ")]
    return data.select(values >= values.max() * (1 - _SAME))


def _fitted(law: str, data: FitData, runs: str, level: float) -> FittedLaw:
    fitted = fit(law, data, level=level)
    try:
        return FittedLaw(fitted, runs, fitted.holdout(by=fitted.law.inputs[0]))
    except FitError as error:
        return FittedLaw(fitted, runs, None, error.message)


def merit(law: FittedLaw) -> tuple[bool, float]:
    """Laws with a hold-out check come first, by its error; the others by their residual."""
    if law.holdout is None:
        return True, law.fit.residual_rms
    return False, law.holdout.mean_absolute_relative_error
