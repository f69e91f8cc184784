"""The loss by place in the context."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import FitError, LacksData
from isoflop.fitting import fit_power
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run, longest
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import LABELS, Colours, log_axes
from isoflop.train.measurements.position import position_curve

_PLACES = 6
_STEPS = 6
_FIRST_FITTED = 2
"""The first place has no context: a power law begins behind it."""


def _measured(study: Study) -> list[tuple[Run, Array, Array]]:
    found = []
    for run in study.runs:
        try:
            found.append((run, *position_curve(run.points)))
        except FitError:  # this one was not measured by place
            continue
    if not found:
        raise LacksData("no run measured its loss by place in the context", hint='measurements = ["position"]')
    return found


@panel
def position_by_size(study: Study, ax: Axes) -> None:
    """Held-out loss by place in the context, a line an N, and the power law of the place through each."""
    measured = {run.id: (places, loss) for run, places, loss in _measured(study)}
    runs = longest(run for run in study.runs if run.id in measured)
    colours = Colours([run.n for run in runs], LABELS["N"])
    for run in runs:
        places, loss = measured[run.id]
        late = places >= _FIRST_FITTED
        law = fit_power(places[late], loss[late])
        ax.plot(places, loss, "o", color=colours(run.n), ms=3)
        ax.plot(places[late], law.predict(places[late]), color=colours(run.n), lw=1)
        ax.annotate(f"T^{law.exponent:.2f}", (places[-1], float(loss[-1])), xytext=(3, 0), textcoords="offset points",
                    fontsize=6.5, va="center")  # fmt: skip
    log_axes(ax, "T", "L")
    ax.set_xlim(right=2.2 * max(places[-1] for places, _ in measured.values()))  # room for the exponents
    ax.set_title("Loss by place, and power laws of it")
    colours.bar(ax)


@panel
def position_by_step(study: Study, ax: Axes) -> None:
    """Held-out loss by place in the context of the largest model, a line an evaluation."""
    run = max((run for run, _, _ in _measured(study)), key=lambda run: (run.n, run.d))
    column = next(name for name in run.points if name.startswith("val_loss_at_"))
    steps = run.points["step"][np.isfinite(run.points[column])]
    if len(steps) < 2:
        raise LacksData(f"run {run.id} measured its loss by place once", hint="evaluations = 6 or more")
    rows = np.unique(np.linspace(0, len(steps) - 1, _STEPS).round().astype(int))
    colours = Colours(steps[rows], LABELS["S"])
    for row in rows:
        ax.plot(*position_curve(run.points, int(row)), color=colours(steps[row]), lw=1.2)
    log_axes(ax, "T", "L")
    ax.set_title(f"Loss by place during training, N = {run.n:.3g}")
    colours.bar(ax)


@panel
def size_by_position(study: Study, ax: Axes) -> None:
    """Held-out loss against N at some places in the context; dashes: models of the shortest context, at its end."""
    measured = _measured(study)
    widest = max(places[-1] for _, places, _ in measured)
    of = {run.id: (places, loss) for run, places, loss in measured if places[-1] == widest}
    runs = longest(run for run in study.runs if run.id in of)
    shown = of[runs[0].id][0]
    shown = shown[np.unique(np.linspace(0, len(shown) - 1, _PLACES).round().astype(int))]
    colours = Colours(shown, LABELS["T"])
    for place in shown:
        losses = [float(np.interp(place, *of[run.id])) for run in runs]
        ax.plot([run.n for run in runs], losses, "o-", color=colours(place), ms=3.5, lw=1)
    shortest = min(places[-1] for _, places, _ in measured)
    if shortest < widest:
        brief = longest(run for run, places, _ in measured if places[-1] == shortest)
        ends = {run.id: float(loss[-1]) for run, _, loss in measured}
        label = f"n_ctx = {shortest:.0f}, last place"
        ax.plot([run.n for run in brief], [ends[run.id] for run in brief], "--", color=colours(shortest), label=label)
        ax.legend(loc="best")
    log_axes(ax, "N", "L")
    ax.set_title("Loss against N at places in the context")
    colours.bar(ax)
