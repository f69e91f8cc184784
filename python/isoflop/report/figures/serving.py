"""Models that are served: the size that costs least over training and serving (Sardana and Frankle 2024)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from isoflop.laws.presets import Preset
from isoflop.planning import serve
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Study
from isoflop.report.style import LABELS, Colours, log_axes, shade_extrapolation

_VOLUMES = (0.1, 1.0, 10.0, 100.0)
"""Tokens served over those that the compute-optimal model is trained on."""
_BUDGETS = 10
_BEYOND = 10.0


@panel
def serving_sizes(study: Study, ax: Axes) -> None:
    """N that costs least over training and serving, against the compute of the training-optimal model of its loss."""
    _frontier(study, ax, "N")


@panel
def serving_tokens(study: Study, ax: Axes) -> None:
    """D that costs least over training and serving, against the compute of the training-optimal model of its loss."""
    _frontier(study, ax, "D")


def _frontier(study: Study, ax: Axes, symbol: str) -> None:
    name = "n_params" if symbol == "N" else "n_tokens"
    compute = study.compute
    budgets = np.geomspace(compute.min(), compute.max() * _BEYOND, _BUDGETS)
    fitted = as_preset(study)
    usual = [serve(fitted, 0, compute=float(c)).usual for c in budgets]
    ax.plot(budgets, [getattr(one, name) for one in usual], color="0.2", lw=1.6, label="not served")
    colours = Colours(_VOLUMES, "tokens served / tokens trained on")
    for volume in _VOLUMES:
        best = [
            serve(fitted, volume * at.n_tokens, compute=float(c)).best for c, at in zip(budgets, usual, strict=True)
        ]
        label = f"serving {volume:g} D*"
        ax.plot(budgets, [getattr(one, name) for one in best], color=colours(volume), lw=1.4, label=label)
    last = budgets[-1]
    served = serve(study.fit, _VOLUMES[-1] * usual[-1].n_tokens, compute=float(last), level=study.level)
    if served.intervals is not None:
        value, (low, high) = getattr(served.best, name), served.intervals[name]
        ax.errorbar([last], [value], [[value - low], [high - value]], color=colours(_VOLUMES[-1]), capsize=3)
    log_axes(ax, "C", symbol)
    ax.set_xlabel("compute of the training-optimal model of that loss, FLOPs")
    ax.set_ylabel(f"{LABELS[symbol]}, at the least cost")
    ax.legend(loc="upper left")
    ax.set_title(f"Inference-aware {'size' if symbol == 'N' else 'tokens'} by {study.fit.law.name}")
    shade_extrapolation(ax, compute.max() * 1.1)


def as_preset(study: Study) -> Preset:
    """The fit's values alone: a line of many points needs no interval at each."""
    fit = study.fit
    return Preset(fit.law.name, fit.law.name, dict(fit.params), "the fit", n_convention=fit.data.n_convention)
