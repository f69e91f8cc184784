"""The figures that go with a report, by name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from matplotlib.figure import Figure

from isoflop.errors import LacksData
from isoflop.report.analysis import Analysis
from isoflop.report.figures import batch, chinchilla, curves, losses, optimum, shapes
from isoflop.report.figures.panel import Panel
from isoflop.report.figures.study import Study
from isoflop.report.style import new_figure
from isoflop.runs.studies import scaling_runs

OF_LAWS: Mapping[str, tuple[Panel[Any], ...]] = {
    "fit": (losses.loss_against_n, losses.loss_against_d),
    "frontier": (optimum.compute_frontier, optimum.allocation),
}
OF_FINDINGS: Mapping[str, tuple[Panel[Any], ...]] = {
    "batch": (batch.trade_off, batch.critical_sizes),
    "steps": (curves.learning_curves,),
    "shape": (shapes.shape_penalties,),
    "isoflop": (chinchilla.budgets, chinchilla.profile_sizes, chinchilla.profile_tokens),
}
"""By purpose."""


def draw(analysis: Analysis) -> dict[str, Figure]:
    """The figures of a study: ``curves``, ``fit``, ``frontier``, and one for each finding by its purpose.

    One that needs more than was recorded, as curves of runs of which only the ends are known, is left out.
    """
    study, kept = Study.of(analysis), scaling_runs(analysis.store)
    panels = {**OF_LAWS, **{finding.purpose: OF_FINDINGS[finding.purpose] for finding in analysis.findings}}
    drawn: dict[str, Figure] = {}
    with suppress(LacksData):
        figure, axes = new_figure(1, width=6.6)
        curves.loss_curves(study, axes[0], runs=kept)
        drawn["curves"] = figure
    for name, each in panels.items():
        with suppress(LacksData):
            drawn[name] = _side_by_side(study, each)
    return drawn


def _side_by_side(study: Study, panels: tuple[Panel[Any], ...]) -> Figure:
    figure, axes = new_figure(len(panels), width=5.4 if len(panels) > 1 else 6.6)
    for each, ax in zip(panels, axes, strict=True):
        each(study, ax)
    return figure
