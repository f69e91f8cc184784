"""Losses on other corpora than that of the training."""

from __future__ import annotations

import msgspec
import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import ONE_SIZE, Run, by_size, longest
from isoflop.report.figures.study import Study
from isoflop.report.style import SERIES, log_axes

_PREFIX, _ERROR = "val_loss_on_", "_se"


def _measured(study: Study) -> tuple[list[Run], dict[str, str]]:
    """Runs that were evaluated on other corpora, and the columns of these with the corpus: by its source, if known."""
    runs = [run for run in study.runs if any(name.startswith(_PREFIX) for name in run.points)]
    if not runs:
        raise LacksData("no run was evaluated on another corpus", hint='transfer = ["FILE"] under [train]')
    sources = {other.fingerprint: other.source for run in runs for other in _said_of(run)}
    names = {
        name.removeprefix(_PREFIX).removesuffix(_ERROR)
        for run in runs
        for name in run.points
        if name.startswith(_PREFIX)
    }
    return runs, {f"{_PREFIX}{name}": sources.get(name, f"corpus {name[:8]}") for name in sorted(names)}


class _Corpus(msgspec.Struct):
    """Of what a run's record says of a corpus, its names."""

    source: str
    fingerprint: str


def _said_of(run: Run) -> list[_Corpus]:
    """The other corpora, as its record says; none where another trainer recorded it."""
    try:
        return msgspec.json.decode(run.record.environment.get("transfer", "[]"), type=list[_Corpus])
    except msgspec.MsgspecError:
        return []


@panel
def transfer_by_size(study: Study, ax: Axes) -> None:
    """Loss on the corpus of the training and on others at the end of training, against N."""
    runs, columns = _measured(study)
    runs = longest(runs)
    ax.plot([run.n for run in runs], [run.loss for run in runs], "o-", color="0.2", ms=4.5, label="training's own")
    for colour, (column, source) in zip(SERIES, columns.items(), strict=False):
        mine = [run for run in runs if len(run.curve(column)[2])]
        ends = [float(run.curve(column)[2][-1]) for run in mine]
        ax.plot([run.n for run in mine], ends, "o-", color=colour, ms=4.5, lw=1, label=source)
    log_axes(ax, "N", "L")
    ax.legend(loc="best")
    ax.set_title("Transfer by size")


@panel
def transfer_by_loss(study: Study, ax: Axes) -> None:
    """Loss on other corpora against that on the training's own: points the end of each N, dashes the largest run."""
    runs, columns = _measured(study)
    ends = longest(runs)
    for colour, (column, source) in zip(SERIES, columns.items(), strict=False):
        mine = [run for run in ends if len(run.curve(column)[2])]
        ax.plot(
            [run.loss for run in mine], [float(run.curve(column)[2][-1]) for run in mine], "o", color=colour, ms=4.5,
            label=source,
        )  # fmt: skip
        step, _, loss = mine[-1].curve()
        other_step, _, other = mine[-1].curve(column)
        both = np.intersect1d(step, other_step)
        ax.plot(
            np.interp(both, step, loss), np.interp(both, other_step, other), ls="--", color=colour, lw=1
        )  # fmt: skip
    log_axes(ax, "L", "L")
    ax.invert_xaxis()
    ax.set_xlabel("held-out loss on the training's corpus, nats/token")
    ax.set_ylabel("loss on other corpora, nats/token")
    ax.legend(loc="best")
    ax.set_title("Transfer: ends (dots), one training (dashes)")


@panel
def transfer_by_depth(study: Study, ax: Axes) -> None:
    """Loss on other corpora of models of one N against their depth."""
    runs, columns = _measured(study)
    groups = [group for group in by_size(runs) if len({run.shape.get("n_layer") for run in group}) > 1]
    if not groups:
        raise LacksData(
            f"no models of one N (within {ONE_SIZE - 1:.0%}) and different depth were evaluated on another corpus",
            hint='a group of purpose "shape" with transfer',
        )
    group = max(groups, key=lambda group: len({run.shape["n_layer"] for run in group}))
    for colour, (column, source) in zip(SERIES, columns.items(), strict=False):
        by_depth: dict[int, list[float]] = {}
        for run in group:
            if len(loss := run.curve(column)[2]):
                by_depth.setdefault(int(run.shape["n_layer"]), []).append(float(loss[-1]))
        depths = sorted(by_depth)
        means = [float(np.mean(by_depth[depth])) for depth in depths]
        ax.plot(depths, means, "o-", color=colour, ms=4.5, label=source)
    log_axes(ax, "N", "L")
    ax.set_xlabel("n_layer")
    ax.set_ylabel("loss on other corpora, nats/token")
    ax.legend(loc="best")
    ax.set_title(f"Depth and transfer at N = {np.mean([run.n for run in group]):.3g}")
