"""Losses along training: against tokens, compute and steps."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import FitError, LacksData
from isoflop.fitting import Curve, StepsFit, fit_curves
from isoflop.fitting.batch_scan import steps_to_loss
from isoflop.laws.presets import PF_DAY
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run, longest
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import (
    ACCENT,
    LABELS,
    Colours,
    log_axes,
    shade_extrapolation,
    small_legend,
)

_BEYOND = 3.0
"""L(N, S_min) is drawn this factor beyond the points, shaded as extrapolation."""
_SEEN = 0.7
"""Share of a run from which its end is predicted."""
_SHOWN = 0.02
_LEVELS = 5
_HALVINGS = 50
_FOREVER = 1e30
"""Steps after which a model learns no more."""


@panel
def loss_curves(study: Study, ax: Axes, runs: Collection[str] | None = None) -> None:
    """Training loss against tokens, a line a finished run, colour by N; dots are the held-out losses at the end.

    ``runs`` are the ids of those to draw, where not all.
    """
    taken = [run for run in reversed(study.runs) if runs is None or run.id in runs]
    if not (drawn := [run for run in taken if {"tokens", "loss"} <= run.points.keys()]):
        raise LacksData("no run was recorded with tokens and loss along its training", hint="record or import points")
    colours = Colours([run.n for run in drawn], LABELS["N"])
    for run in drawn:
        ax.plot(run.points["tokens"], run.points["loss"], color=colours(run.n), lw=0.8, alpha=0.7)
        ax.plot(run.d, run.loss, "o", color=colours(run.n), ms=4, mec="white", mew=0.5)
    log_axes(ax, "D", "L")
    ax.set_ylabel("loss, nats/token (line: training, dot: held-out)")
    ax.set_title("Loss curves")
    colours.bar(ax)


@panel
def curves_by_tokens(study: Study, ax: Axes) -> None:
    """Held-out loss along training against tokens, the longest run of each N."""
    _along(study, ax, "D")


@panel
def curves_by_compute(study: Study, ax: Axes) -> None:
    """Held-out loss along training against compute, the longest run of each N."""
    _along(study, ax, "C_pf")


def _along(study: Study, ax: Axes, x: str) -> None:
    runs = longest(study.trajectories)
    colours = Colours([run.n for run in runs], LABELS["N"])
    for run in runs:
        _, tokens, loss = run.curve()
        ax.plot(tokens * (6 * run.n / PF_DAY if x == "C_pf" else 1.0), loss, color=colours(run.n), lw=1.2)
    log_axes(ax, x, "L")
    ax.set_title("Held-out loss along training")
    colours.bar(ax)


@panel
def learning_curves(study: Study, ax: Axes) -> None:
    """Held-out loss along training against S_min, a colour a size, and L(N, S_min) through the points."""
    steps = study.steps
    columns = steps.fit.data.columns
    sizes = np.unique(columns["N"])
    colours = Colours(sizes, LABELS["N"])
    grid = np.geomspace(columns["S_min"].min(), columns["S_min"].max() * _BEYOND, 200)
    for size in sizes:
        mine = columns["N"] == size
        ax.plot(columns["S_min"][mine], columns["L"][mine], "o", color=colours(size), ms=3, alpha=0.7)
        ax.plot(grid, steps.predict(size, grid), color=colours(size), lw=1)
    log_axes(ax, "S_min", "L")
    p = steps.params
    ax.plot([], [], color="0.3", lw=1, label=f"alpha_N = {p['alpha_N']:.3g}, alpha_S = {p['alpha_S']:.3g}")
    ax.legend(loc="lower left")
    ax.set_title(f"L(N, S_min): {steps.fit.residual_rms:.1%} rms")
    shade_extrapolation(ax, columns["S_min"].max())
    colours.bar(ax)


@panel
def size_at_fixed_compute(study: Study, ax: Axes) -> None:
    """Held-out loss against N where each curve has spent so much compute, and what L(N, S_min) says there."""
    _fixed(study, ax, "C")


@panel
def size_at_fixed_steps(study: Study, ax: Axes) -> None:
    """Held-out loss against N where each curve has made so many steps, and what L(N, S_min) says there."""
    _fixed(study, ax, "S")


def _fixed(study: Study, ax: Axes, of: str) -> None:
    steps, runs = study.steps, longest(study.trajectories)
    spans = [(run, _spent(run, of), run.curve()[2]) for run in runs]
    low, high = min(x[0] for _, x, _ in spans), max(x[-1] for _, x, _ in spans)
    values = np.geomspace(low, high, _LEVELS + 2)[1:-1]
    unit, label = (PF_DAY, "C, PF-days") if of == "C" else (1.0, "S, optimizer steps")
    colours = Colours(values / unit, label)
    batch, sizes = float(np.median([run.batch for run in runs])), np.array([run.n for run in runs])
    grid, drawn = np.geomspace(sizes.min(), sizes.max(), 60), 0
    for value in values:
        at = [(run.n, float(np.exp(np.interp(np.log(value), np.log(x), np.log(loss)))))
              for run, x, loss in spans if x[0] <= value <= x[-1]]  # fmt: skip
        if len(at) < 2:
            continue
        drawn += 1
        made = value / (6 * grid * batch) if of == "C" else np.full_like(grid, value)
        reachable = (grid >= at[0][0]) & (grid <= at[-1][0])
        ax.plot(*zip(*at, strict=True), "o", color=colours(value / unit), ms=4.5, mec="white", mew=0.5)
        ax.plot(grid[reachable], adjusted(steps, grid, made, batch)[reachable], color=colours(value / unit), lw=1)
    if not drawn:
        raise LacksData(f"no two curves pass the same {label}", hint="curves of all sizes that overlap")
    log_axes(ax, "N", "L")
    ax.set_title(f"Loss at fixed {of}; lines: L(N, S_min)")
    colours.bar(ax)


def _spent(run: Run, of: str) -> Array:
    step, tokens, _ = run.curve()
    return 6 * run.n * tokens if of == "C" else step


def adjusted(steps: StepsFit, n: Array, made: Array, batch: float) -> Array:
    """The loss of sizes (n,) after steps (n,) of a batch: the root of L = L(N, S_min(L)), whose right side falls."""
    low = steps.predict(n, np.full_like(made, _FOREVER))
    high = steps.predict(n, made / (1 + steps.critical(low) / batch))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = steps.predict(n, made / (1 + steps.critical(middle) / batch)) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(high)


@panel
def steps_to_reach(study: Study, ax: Axes) -> None:
    """S_min to reach a loss against N."""
    _to_reach(study, ax, "S_min")


@panel
def tokens_to_reach(study: Study, ax: Axes) -> None:
    """E_min, the tokens at a batch far below B_crit, to reach a loss against N."""
    _to_reach(study, ax, "E_min")


def _to_reach(study: Study, ax: Axes, of: str) -> None:
    critical, runs = study.critical, longest(study.trajectories)
    ends = sorted(float(run.curve()[2].min()) for run in runs)
    top = min(float(run.curve()[2][0]) for run in runs)
    losses = np.geomspace(ends[0] * 1.01, min(top, ends[-1] * 1.3), _LEVELS + 2)[1:]
    colours, drawn = Colours(losses, "loss reached, nats/token"), 0
    reached = np.stack([steps_to_loss(run.curve()[0], run.curve()[2], losses) for run in runs])
    for i, loss in enumerate(losses):
        there = np.isfinite(reached[:, i])
        n, batch = (np.array([getattr(run, name) for run in runs])[there] for name in ("n", "batch"))
        s_min = reached[there, i] / (1 + critical(loss) / batch)
        values = s_min if of == "S_min" else s_min * critical(loss)
        drawn += there.sum() > 1
        ax.plot(n, values, "o-", color=colours(loss), ms=4.5, lw=1, mec="white", mew=0.5)
    if not drawn:
        raise LacksData("no loss is reached by curves of two sizes", hint="longer curves of the smaller sizes")
    log_axes(ax, "N", of)
    ax.set_title("Least steps to a loss" if of == "S_min" else "Least tokens to a loss")
    colours.bar(ax)


@panel
def predicted_ends(study: Study, ax: Axes) -> None:
    """Training curves to 70 % of their steps, and the end that the curve of another run foretells, with its interval.

    Of each N the longest run whose learning rate was recorded; the first that can be fitted whole gives the form.
    """
    from isoflop.fitting import predict_final

    runs = [run for run in longest(study.scaling) if "lr" in run.points]
    curves = [(run, curve) for run in runs if (curve := _with_schedule(run)) is not None]
    if len(curves) < 2:
        raise LacksData(
            f"{len(curves)} runs were recorded with their learning rate and points enough",
            hint="train with evaluations = 40; others' runs: log a column lr",
        )
    colours, errors = Colours([run.n for run, _ in curves], LABELS["N"]), []
    for i, (run, curve) in enumerate(curves):
        other = curves[i - 1 if i else 1][1]
        steps, loss = np.asarray(curve.steps), np.asarray(curve.loss)
        seen, late = steps <= _SEEN * steps[-1], steps >= _SHOWN * steps[-1]
        try:
            like = fit_curves([other], "annealing")
            end = predict_final(Curve(steps[seen], loss[seen], curve.schedule, curve.warmup), like=like)
        except FitError as error:
            errors.append(error)
            continue
        colour, last = colours(run.n), float(steps[-1])
        ax.plot(steps[seen & late], loss[seen & late], color=colour, lw=1)
        ax.plot(steps[~seen], loss[~seen], ".", color=colour, ms=3, alpha=0.6)
        low, high = end.interval
        ax.errorbar([last], [end.value], [[end.value - low], [high - end.value]], fmt="_", color=ACCENT, ms=10, lw=1.5)
    if len(errors) == len(curves):
        raise errors[0]
    log_axes(ax, "S", "L")
    ax.set_ylabel("loss, nats/token")
    ax.plot([], [], "_", color=ACCENT, ms=10, label=f"end foretold from {_SEEN:.0%}, 95% interval")
    small_legend(ax)
    ax.set_title("Learning curves and their predicted ends")
    colours.bar(ax)


def _with_schedule(run: Run) -> Curve | None:
    """The held-out curve of a run (of its training loss, where held-out points are few) with its learning rates."""
    warmup = int(run.spec.get("warmup_steps", 0))
    step, rate = run.points["step"], run.points["lr"]
    known = np.isfinite(rate)
    for column in ("val_loss", "loss"):
        at, _, loss = run.curve(column)
        if np.count_nonzero(at > warmup) >= _CURVE:
            schedule = np.interp(np.arange(1, int(at[-1]) + 1), step[known], rate[known])
            return Curve(at, loss, schedule, warmup)
    return None


_CURVE = 16
"""Points after the warm-up that a curve needs for seven tenths of it to be fitted."""
