"""Overfitting: what few tokens cost a large model, and when to stop."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run
from isoflop.report.figures.study import Study
from isoflop.report.style import ACCENT, BLUE, LABELS, Colours, log_axes

_REPEATED = 2.0
"""Epochs from which on a run can overfit."""


@panel
def overfitting(study: Study, ax: Axes) -> None:
    """L(N, D)/L(N, inf) - 1 against N^(alpha_N/alpha_D)/D, which alone decides it (eq 4.3), colour by N."""
    fit = study.law("kaplan")
    columns, p = fit.data.columns, fit.params
    ratio = p["alpha_N"] / p["alpha_D"]
    x = columns["N"] ** ratio / columns["D"]
    limit = (p["N_c"] / columns["N"]) ** p["alpha_N"]
    colours = Colours(columns["N"], LABELS["N"])
    ax.scatter(x, columns["L"] / limit - 1, c=[colours(n) for n in columns["N"]], s=18, edgecolors="white", lw=0.5)
    grid = np.geomspace(x.min(), x.max(), 100)
    line = (1 + grid * p["D_c"] / p["N_c"] ** ratio) ** p["alpha_D"] - 1
    ax.plot(grid, line, color=ACCENT, lw=1.6, label=f"{fit.residual_rms:.1%} rms of ln L")
    ax.set_xscale("log")
    ax.set_xlabel(f"N^{ratio:.2f} / D")
    ax.set_ylabel("L(N, D) / L(N, inf) - 1")
    ax.legend(loc="upper left")
    ax.set_title("Overfitting")
    colours.bar(ax)


def _overfitted(study: Study) -> list[Run]:
    """Runs whose tokens repeat and whose held-out loss has risen again before their end."""
    found = []
    for run in study.runs:
        loss = run.curve()[2]
        if run.d >= _REPEATED * run.unique and len(loss) > 2 and np.argmin(loss) < len(loss) - 1:
            found.append(run)
    if not found:
        raise LacksData(
            f"no run saw its tokens {_REPEATED:.0f} times and got worse on held-out text before its end",
            hint='a group with unique_tokens below tokens and measurements = ["gap"]',
        )
    return found


@panel
def earliest_stop(study: Study, ax: Axes) -> None:
    """Batch-adjusted steps at the lowest held-out loss against the bound S_c [L(N, D) - L(N, inf)]^(-1/alpha_S)."""
    runs, steps, joint = _overfitted(study), study.steps, study.law("kaplan").params
    bounds, stops, sizes = [], [], []
    for run in runs:
        step, _, loss = run.curve()
        best = int(np.argmin(loss))
        excess = float(loss[best]) - (joint["N_c"] / run.n) ** joint["alpha_N"]
        if excess > 0:
            bounds.append(float(steps.earliest_stop(excess)))
            stops.append(float(step[best] / (1 + steps.critical(loss[best]) / run.batch)))
            sizes.append(run.n)
    if not bounds:
        raise LacksData("every overfitted run ended below the fitted L(N, inf)")
    colours = Colours(sizes, LABELS["N"])
    ax.scatter(bounds, stops, c=[colours(n) for n in sizes], s=22, edgecolors="white", lw=0.5)
    ends = np.array([min(bounds + stops), max(bounds + stops)])
    ax.plot(ends, ends, color="0.3", lw=1, ls="--", label="the bound: no stop pays below it")
    log_axes(ax, "S", "S_min")
    ax.set_xlabel("S_c [L(N, D) - L(N, inf)]^(-1/alpha_S), steps")
    ax.set_ylabel("S_min at the lowest held-out loss")
    ax.legend(loc="lower right")
    ax.set_title("Early stopping")
    colours.bar(ax)


@panel
def train_and_test(study: Study, ax: Axes) -> None:
    """Held-out (lines) and training loss (dashes) by steps of one model on few and on many different tokens."""
    overfitted = _overfitted(study)
    size = max((run.n for run in overfitted), key=lambda n: sum(run.n == n for run in overfitted))
    runs = sorted((run for run in study.runs if run.n == size and len(run.curve()[0]) > 2), key=lambda run: run.unique)
    colours = Colours([run.unique for run in runs], "unique tokens")
    for run in runs:
        step, _, loss = run.curve()
        seen = run.curve("trained_loss" if "trained_loss" in run.points else "loss")
        ax.plot(step, loss, color=colours(run.unique), lw=1.4)
        ax.plot(seen[0], seen[2], color=colours(run.unique), lw=0.9, ls="--")
    log_axes(ax, "S", "L")
    ax.set_ylabel("loss, nats/token")
    ax.plot([], [], color=BLUE, lw=1.4, label="held-out")
    ax.plot([], [], color=BLUE, lw=0.9, ls="--", label="training")
    ax.legend(loc="best")
    ax.set_title(f"N = {size:.3g} on few and on many tokens")
    colours.bar(ax)
