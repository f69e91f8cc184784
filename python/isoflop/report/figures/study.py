"""What figures are drawn of: a store, a fit or what was found, read once however many figures ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import LacksData
from isoflop.fitting import CriticalBatch, Fit, FitData, IsoflopMinima, StepsFit, fit
from isoflop.fitting.shape_scan import ShapeScan
from isoflop.planning import Plan
from isoflop.report.analysis import SLICES, Analysis, joint_laws, merit, scaling_data, select
from isoflop.report.figures.roof import Roof
from isoflop.report.figures.runs import Run, read_runs
from isoflop.report.findings import Finding, Result, find
from isoflop.runs import RunStore
from isoflop.runs.studies import PURPOSES, runs_by_purpose, scaling_runs

Array = NDArray[np.float64]
Curves = tuple[Mapping[str, Array], NDArray[np.str_]]

_FEWEST_EVALUATIONS = 5
"""Held-out losses that make a curve."""

_PURPOSE_OF = {CriticalBatch: "batch", StepsFit: "steps", ShapeScan: "shape", IsoflopMinima: "isoflop"}


@dataclass
class Study:
    """A source of figures. What it has not, it says by raising LacksData or the FitError of whoever fitted.

    Attributes:
        given: the fit, where there is one.
        store: the run store, where there is one.
        plan: for the figures that show one.
        results: what was found, by purpose.
        laws: fits by the name of their law.
        roof: a device and what runs on it.
        level: of intervals.
    """

    given: Fit | None = None
    store: RunStore | None = None
    plan: Plan | None = None
    results: dict[str, Finding] = field(default_factory=dict)
    laws: dict[str, Fit] = field(default_factory=dict)
    roof: Roof | None = None
    level: float = 0.95
    _why_not: dict[str, str] = field(default_factory=dict)
    _looked: bool = False

    @classmethod
    def of(cls, source: Source) -> Study:
        """The study of a store, a fit, an analysis, a finding or the result of one."""
        if isinstance(source, Study):
            return source
        if isinstance(source, RunStore):
            return cls(store=source)
        if isinstance(source, Fit):
            return cls(given=source, laws={source.law.name: source}, level=source.level)
        if isinstance(source, Roof):
            return cls(roof=source)
        if isinstance(source, Finding):
            return cls(results={source.purpose: source}, _looked=True)
        if isinstance(source, Analysis):
            found = {finding.purpose: finding for finding in source.findings}
            laws = {law.fit.law.name: law.fit for law in source.laws}
            fitted, level = source.best.fit, source.plan.level
            return cls(
                fitted, source.store, source.plan, found, laws, None, level, dict(source.skipped), True
            )  # fmt: skip
        purpose = _PURPOSE_OF[type(source)]
        return cls(results={purpose: Finding(purpose, "", 0, {}, source, {})}, _looked=True)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The finished runs with a held-out loss at their end, by N and then D."""
        if self.store is None:
            raise LacksData("this shows runs, and a fit alone was given", hint="give the run store")
        if not (found := read_runs(self.store)):
            raise LacksData("there are no finished runs", hint="isoflop runs ls shows the state of each run")
        return found

    @cached_property
    def scaling(self) -> tuple[Run, ...]:
        """The runs that laws of N, D and C are fitted to."""
        runs = self.runs
        kept = None if self.store is None else scaling_runs(self.store)
        return tuple(run for run in runs if kept is None or run.id in kept)

    @cached_property
    def trajectories(self) -> tuple[Run, ...]:
        """Runs with a held-out curve: those made to show one where there are any, else all that have one.

        Raises:
            LacksData: none was evaluated often enough.
        """
        curved = [run for run in self.runs if len(run.curve()[0]) >= _FEWEST_EVALUATIONS]
        asked = set() if self.store is None else set(runs_by_purpose(self.store).get("steps", ()))
        found = [run for run in curved if run.id in asked] or curved
        if not found:
            raise LacksData(
                f"no run has {_FEWEST_EVALUATIONS} held-out losses along its training",
                hint='evaluations = 40, or a group of purpose "steps"',
            )
        return tuple(found)

    @property
    def scanned(self) -> tuple[Run, ...]:
        """The runs made to show the critical batch size."""
        if self.store is None:
            return ()
        asked = runs_by_purpose(self.store).get("batch", ())
        return tuple(run for run in self.runs if run.id in asked)

    def curves(self) -> Curves:
        """Columns N, D, S, B and L of the trajectories, one row an evaluation, and the run of each row."""
        parts: dict[str, list[Array]] = {name: [] for name in "NDSBL"}
        labels: list[str] = []
        for run in self.trajectories:
            step, tokens, loss = run.curve()
            fixed = {"N": run.n, "B": run.batch}
            for name, values in {"D": tokens, "S": step, "L": loss}.items():
                parts[name].append(values)
            for name, value in fixed.items():
                parts[name].append(np.full(len(step), value))
            labels += [run.id] * len(step)
        return {name: np.concatenate(values) for name, values in parts.items()}, np.array(labels)

    @cached_property
    def data(self) -> FitData:
        """The runs as columns for fits of N, D and C, which is 6 N D where nobody said."""
        if self.given is not None:
            data, columns = self.given.data, self.given.data.columns
            there = "C" in columns or not {"N", "D"} <= columns.keys()
            return data if there else replace(data, columns={**columns, "C": 6 * columns["N"] * columns["D"]})
        if self.store is None:
            raise LacksData("this shows runs, and a finding alone was given", hint="give the run store")
        return scaling_data(self.store)

    @property
    def n_convention(self) -> str:
        """Which parameters N counts."""
        if self.given is not None:
            return self.given.data.n_convention
        return "non-embedding" if self.store is None else self.store.n_convention

    @cached_property
    def fit(self) -> Fit:
        """The joint law of N and D: the one that was given, else the one that predicts held-out runs best."""
        if self.given is not None:
            return self.given
        laws, failures = joint_laws(self.data, self.level)
        if not laws:
            raise next(iter(failures.values()))
        self.laws |= {law.fit.law.name: law.fit for law in laws}
        return min(laws, key=merit).fit

    @property
    def compute(self) -> Array:
        """C of every run in FLOPs.

        Raises:
            LacksData: they were fitted without C, and without N or D.
        """
        if "C" not in self.data.columns:
            raise LacksData(f"the runs have {', '.join(self.data.columns)}, which say nothing of compute")
        return self.data.columns["C"]

    def best_runs(self) -> Mapping[str, Array]:
        """Columns of the runs that are the best of their compute, in order of it."""
        columns = select(replace(self.data, columns={**self.data.columns, "C": self.compute}), "frontier").columns
        order = np.argsort(columns["C"])
        return {name: values[order] for name, values in columns.items()}

    def law(self, name: str) -> Fit:
        """The fit of the law called ``name``: to its slice of the runs where it is of one variable, else to all."""
        if name not in self.laws:
            of = next((part.runs for part in SLICES if part.law == name), None)
            data = self.data if of is None else select(self.data, of)
            self.laws[name] = fit(name, data, level=self.level)
        return self.laws[name]

    def finding(self, purpose: str) -> Finding:
        """What the runs of a purpose show.

        Raises:
            LacksData: no runs were made for it, or they do not show it; the message says why.
        """
        if not self._looked and self.store is not None:
            self._looked = True
            found, self._why_not = find(self.store, level=self.level)
            self.results |= {one.purpose: one for one in found}
        if purpose not in self.results:
            why = self._why_not.get(purpose, f"no runs were made to show {PURPOSES[purpose]}")
            raise LacksData(why, hint=f'add a group of purpose "{purpose}" to the study')
        return self.results[purpose]

    @property
    def steps(self) -> StepsFit:
        """L(N, S_min)."""
        result = self.finding("steps").result
        assert isinstance(result, StepsFit)
        return result

    @property
    def critical(self) -> CriticalBatch:
        """B_crit(L)."""
        if "batch" not in self.results and "steps" in self.results:
            return self.steps.critical
        result = self.finding("batch").result
        assert isinstance(result, CriticalBatch)
        return result

    @property
    def minima(self) -> tuple[IsoflopMinima, Mapping[str, Array]]:
        """The minima of the isoFLOP profiles and the columns they are of."""
        found = self.finding("isoflop")
        assert isinstance(found.result, IsoflopMinima)
        return found.result, found.columns


Source = RunStore | Fit | Analysis | Finding | Result | Roof | Study
"""What a figure may be drawn of."""
