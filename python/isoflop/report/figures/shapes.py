"""How much the shape matters at one N."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from isoflop.errors import LacksData, NotIdentifiable
from isoflop.fitting.shape_scan import ShapePenalty, ShapeScan, shape_scan
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run, by_size
from isoflop.report.figures.study import Study
from isoflop.report.style import LABELS, Colours
from isoflop.runs.studies import runs_by_purpose

_ONE_SIZE = 0.3

RATIOS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "d_ff/d_model": ("d_ff", "d_model", ("n_layer",)),
    "d_model/n_layer": ("d_model", "n_layer", ("d_ff/d_model",)),
    "d_model/n_head": ("d_model", "n_head", ("n_layer", "d_model", "d_ff")),
}
"""Each ratio, and what stays as it is in the shapes that are compared by it."""


@panel
def shape_penalties(study: Study, ax: Axes) -> None:
    """Loss over that of the best shape of the same N, less 1, against d_model/n_layer."""
    result = study.finding("shape").result
    assert isinstance(result, ShapeScan)
    _penalties([result], ax, "d_model/n_layer")


@panel
def feed_forward_ratio(study: Study, ax: Axes) -> None:
    """Loss over that of the best shape of the same N, less 1, against d_ff/d_model."""
    _penalties(_scans(study, "d_ff/d_model"), ax, "d_ff/d_model")


@panel
def aspect_ratio(study: Study, ax: Axes) -> None:
    """Loss over that of the best shape of the same N, less 1, against d_model/n_layer."""
    _penalties(_scans(study, "d_model/n_layer"), ax, "d_model/n_layer")


@panel
def head_dimension(study: Study, ax: Axes) -> None:
    """Loss over that of the best shape of the same N, less 1, against d_model/n_head."""
    _penalties(_scans(study, "d_model/n_head"), ax, "d_model/n_head")


def _shaped(study: Study) -> list[Run]:
    """Runs made to compare shapes where there are any, else all of known shape."""
    asked = () if study.store is None else runs_by_purpose(study.store).get("shape", ())
    shaped = [run for run in study.runs if {"n_layer", "d_model"} <= run.shape.keys()]
    return [run for run in shaped if run.id in asked] or shaped


def _scans(study: Study, ratio: str) -> list[ShapeScan]:
    above, below, held = RATIOS[ratio]
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in _shaped(study):
        if {above, below} <= run.shape.keys():
            groups.setdefault((round(np.log(run.d), 2), *(_field(run, name) for name in held)), []).append(run)
    scans = []
    for runs in groups.values():
        values = [run.shape[above] / run.shape[below] for run in runs]
        try:
            scans.append(shape_scan([run.n for run in runs], values, [run.loss for run in runs]))
        except NotIdentifiable:  # these shapes differ in N as well
            continue
    if not scans:
        raise LacksData(
            f"no two runs of one N and D differ in {ratio} with the same {', '.join(held)}",
            hint='a group of purpose "shape"',
        )
    return scans


def _field(run: Run, name: str) -> float:
    """A field of a shape, or a ratio of two; 0 where it was not recorded."""
    above, _, below = name.partition("/")
    return float(run.shape.get(above, 0)) / float(run.shape.get(below, 1))


def _penalties(scans: list[ShapeScan], ax: Axes, ratio: str) -> None:
    shapes = [shape for scan in scans for shape in scan.shapes]
    sizes = [shape.n_params for shape in shapes]
    one = np.log(max(sizes) / min(sizes)) < _ONE_SIZE
    colours = Colours(sizes, LABELS["N"])
    for scan in scans:
        for best in [shape for shape in scan.shapes if shape.penalty == 0]:
            mine = [shape for shape in scan.shapes if abs(np.log(shape.n_params / best.n_params)) < _ONE_SIZE]
            _series(ax, mine, colours(best.n_params))
    ax.set_xscale("log")
    ax.set_xlabel(ratio.replace("/", " / "))
    ax.set_ylabel("loss over the best of the same N, %")
    ax.set_title(f"Shapes of one N, {min(sizes):.3g} to {max(sizes):.3g}" if one else "Shapes of one N each")
    if not one:
        colours.bar(ax)


def _series(ax: Axes, shapes: list[ShapePenalty], colour: object) -> None:
    ax.errorbar(
        [shape.aspect for shape in shapes],
        [100 * shape.penalty for shape in shapes],
        [100 * shape.sigma if np.isfinite(shape.sigma) else 0.0 for shape in shapes],
        fmt="o-", color=colour, ms=4.5, lw=1,
    )  # fmt: skip


@panel
def shape_landscape(study: Study, ax: Axes) -> None:
    """Depth against width, coloured by the loss over the best of the same N; thin lines join the shapes of one N."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    drawn: list[tuple[float, float, float]] = []
    for runs in by_size(_shaped(study)):
        if len({(run.shape["n_layer"], run.shape["d_model"]) for run in runs}) < 2:
            continue
        groups: dict[tuple[float, float], list[float]] = {}
        for run in runs:
            groups.setdefault((run.shape["d_model"], run.shape["n_layer"]), []).append(run.loss)
        means = {at: float(np.mean(losses)) for at, losses in groups.items()}
        best = min(means.values())
        ax.plot(*zip(*sorted(means), strict=True), color="0.7", lw=0.8, zorder=1)
        drawn += [(*at, 100 * (loss / best - 1)) for at, loss in means.items()]
    if not drawn:
        raise LacksData("no two shapes of one N", hint='a group of purpose "shape"')
    width, depth, penalty = np.array(drawn).T
    norm = Normalize(0, max(float(penalty.max()), 0.1))
    ax.scatter(width, depth, c=penalty, s=70, cmap="viridis_r", norm=norm, edgecolors="0.3", linewidths=0.5, zorder=2)
    for x, y, value in drawn:
        ax.annotate(f"{value:.1f} %", (x, y), xytext=(7, 5), textcoords="offset points", fontsize=7)
    ax.margins(0.15)
    ax.set_xlabel("d_model")
    ax.set_ylabel("n_layer")
    ax.set_title("Loss landscape of the shape")
    ax.figure.colorbar(ScalarMappable(norm, "viridis_r"), ax=ax, label="loss over the best of the same N, %", pad=0.02)
