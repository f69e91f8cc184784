"""What a joint law makes of a compute budget: loss, size and tokens, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from isoflop.planning import Plan, frontier
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import ACCENT, BLUE, GREEN, LABELS, Colours, log_axes, shade_extrapolation

_BUDGETS = 65
_BEYOND = 10.0
_USUAL = 20.0


def _curve(study: Study) -> Mapping[str, Array]:
    """The optimum over the compute of the runs, and to the plan's or ten times as far."""
    compute = study.compute
    last = compute.max() * _BEYOND if study.plan is None else max(compute.max(), study.plan.compute) * 2
    return frontier(study.fit, np.geomspace(compute.min(), last, _BUDGETS), level=study.level)


@panel
def compute_frontier(study: Study, ax: Axes) -> None:
    """Held-out loss against compute: all runs, the best of them, and the fitted optimum with its interval."""
    fit = study.fit
    columns, compute, curve = fit.data.columns, study.compute, _curve(study)
    colours = Colours(columns["N"], LABELS["N"])
    ax.scatter(
        compute, columns["L"], c=[colours(n) for n in columns["N"]], s=22, edgecolors="white", linewidths=0.5, zorder=3
    )
    best = study.best_runs()
    ax.plot(best["C"], best["L"], color="0.2", lw=1, drawstyle="steps-post", label="best run so far")
    ax.plot(curve["C"], curve["L"], color=ACCENT, lw=1.6, label=f"{fit.law.name} optimum, {study.level:.0%} interval")
    _band(ax, curve, "L", ACCENT)
    if study.plan is not None:
        _star(ax, study.plan, study.plan.loss, ACCENT, f"plan: L = {study.plan.loss:.3g}")
    log_axes(ax, "C", "L")
    ax.legend(loc="lower left")
    ax.set_title("Compute frontier")
    shade_extrapolation(ax, compute.max() * 1.2)
    colours.bar(ax)


@panel
def allocation(study: Study, ax: Axes) -> None:
    """Compute-optimal N and D against compute, with intervals, the frontier runs' N and D, and the plan."""
    curve, best, compute = _curve(study), study.best_runs(), study.compute
    for name, colour in (("N", BLUE), ("D", GREEN)):
        exponent = np.polyfit(np.log(curve["C"]), np.log(curve[name]), 1)[0]
        label = f"{LABELS[name]}: {name}* ~ C^{exponent:.2f}"
        ax.plot(curve["C"], curve[name], color=colour, lw=1.6, label=label)
        _band(ax, curve, name, colour)
        ax.plot(best["C"], best[name], "o", color=colour, ms=4, mec="white", mew=0.5)
        if study.plan is not None:
            value = study.plan.n_params if name == "N" else study.plan.n_tokens
            _star(ax, study.plan, value, colour, f"plan: {name}* = {value:.3g}")
    log_axes(ax, "C", "N")
    ax.set_ylabel("parameters, tokens (dots: best runs)")
    ax.set_ylim(top=ax.get_ylim()[1] * (3 if study.plan is None else 50))  # room for the legend
    ax.legend(loc="upper left")
    ax.set_title("Compute-optimal allocation")
    shade_extrapolation(ax, compute.max() * 1.2)


@panel
def tokens_per_parameter(study: Study, ax: Axes) -> None:
    """Compute-optimal D/N against compute with its interval, the best runs', and the 20 of a rule of thumb."""
    fit, curve = study.fit, _curve(study)
    compute = study.compute
    best = study.best_runs()
    label = f"{fit.law.name} optimum, {study.level:.0%} interval"
    ax.plot(curve["C"], curve["tokens_per_param"], color=BLUE, lw=1.6, label=label)
    _band(ax, curve, "tokens_per_param", BLUE)
    ax.plot(best["C"], best["D"] / best["N"], "o", color="0.2", ms=4, mec="white", mew=0.5, label="best runs")
    ax.axhline(_USUAL, color=ACCENT, lw=1, ls="--", label="20 tokens a parameter")
    log_axes(ax, "C", "D")
    ax.set_ylabel("D/N, tokens a parameter")
    ax.legend(loc="best")
    ax.set_title("Tokens a parameter at the optimum")
    shade_extrapolation(ax, compute.max() * 1.2)


def _band(ax: Axes, curve: Mapping[str, Array], name: str, colour: str) -> None:
    if f"{name}_low" in curve:
        ax.fill_between(curve["C"], curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.18, lw=0)


def _star(ax: Axes, plan: Plan, value: float, colour: str, label: str) -> None:
    ax.plot(plan.compute, value, "*", color=colour, ms=13, mec="white", zorder=4, label=label)
