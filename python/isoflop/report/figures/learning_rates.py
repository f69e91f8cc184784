"""Learning-rate schedules of one model, and what they lead to."""

from __future__ import annotations

import json

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run
from isoflop.report.figures.study import Study
from isoflop.report.style import SERIES

SCHEDULE = ("schedule", "learning_rate", "final_learning_rate", "warmup_steps", "decay_steps", "seed")
"""Fields of a spec in which the runs of a schedule scan differ."""
_FEWEST = 3


def _scan(study: Study) -> list[Run]:
    """The most runs that are alike in everything but their schedule."""
    groups: dict[str, list[Run]] = {}
    for run in study.runs:
        if "lr" in run.points and "schedule" in run.spec:
            kept = {name: value for name, value in run.spec.items() if name not in SCHEDULE}
            groups.setdefault(json.dumps(kept, sort_keys=True), []).append(run)
    runs = max(groups.values(), key=len, default=[])
    if len({tuple(run.spec.get(name) for name in SCHEDULE[:-1]) for run in runs}) < _FEWEST:
        raise LacksData(
            f"no {_FEWEST} runs differ in their learning-rate schedule alone",
            hint="one shape and D with several values of schedule, learning_rate or warmup",
        )
    return runs


def _colours(runs: list[Run]) -> dict[str, str]:
    forms = sorted({str(run.spec["schedule"]) for run in runs})
    return {form: SERIES[i % len(SERIES)] for i, form in enumerate(forms)}


@panel
def schedules(study: Study, ax: Axes) -> None:
    """Learning rates against steps, a colour a form."""
    runs = _scan(study)
    colours = _colours(runs)
    for run in runs:
        ax.plot(run.points["step"], run.points["lr"], color=colours[str(run.spec["schedule"])], lw=1.1)
    for form, colour in colours.items():
        ax.plot([], [], color=colour, label=form)
    ax.set_xlabel("S, optimizer steps")
    ax.set_ylabel("learning rate")
    ax.legend(loc="best")
    ax.set_title(f"Schedules of one model, N = {runs[0].n:.3g}")


@panel
def loss_by_schedule(study: Study, ax: Axes) -> None:
    """Held-out loss at the end, of all on the same tokens, against the sum of learning rates over all steps."""
    runs = _scan(study)
    colours = _colours(runs)
    for run in runs:
        summed = float(np.trapezoid(run.points["lr"], run.points["step"]))
        ax.plot([summed], [run.loss], "o", ms=4.5, color=colours[str(run.spec["schedule"])])
    for form, colour in colours.items():
        ax.plot([], [], "o", color=colour, label=form)
    ax.set_xscale("log")
    ax.set_xlabel("sum of learning rates over the steps")
    ax.set_ylabel("held-out loss, nats/token")
    ax.legend(loc="best")
    ax.set_title("What schedules lead to")
