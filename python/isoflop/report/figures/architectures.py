"""Other architectures beside the decoder: LSTMs and Transformers that share their weights over depth."""

from __future__ import annotations

from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run, longest
from isoflop.report.figures.study import Study
from isoflop.report.style import BLUE, SERIES, log_axes
from isoflop.train.measurements.position import position_curve

_FEWEST = 2


def _beside(study: Study, architecture: str) -> tuple[list[Run], list[Run]]:
    """Runs of the decoder and of another architecture, the longest of each N and depth."""
    of: dict[str, list[Run]] = {"decoder": [], architecture: []}
    for run in study.runs:
        if run.architecture in of and run.shape:
            of[run.architecture].append(run)
    decoders, others = of["decoder"], of[architecture]
    if len({run.n for run in decoders}) < _FEWEST or len({run.n for run in others}) < _FEWEST:
        raise LacksData(
            f"{len({run.n for run in others})} sizes of architecture {architecture!r} beside "
            f"{len({run.n for run in decoders})} of 'decoder'; both need {_FEWEST}",
            hint=f'shapes with architecture = "{architecture}"',
        )
    return longest(decoders), others


@panel
def lstm_by_size(study: Study, ax: Axes) -> None:
    """Held-out loss of LSTMs, a line a number of layers, and of Transformers against N."""
    decoders, lstms = _beside(study, "lstm")
    ax.plot([run.n for run in decoders], [run.loss for run in decoders], "o-", color=BLUE, ms=4.5, label="Transformers")
    for colour, depth in zip(SERIES[1:], sorted({run.shape["n_layer"] for run in lstms}), strict=False):
        runs = longest(run for run in lstms if run.shape["n_layer"] == depth)
        label = f"LSTMs of {depth} layer{'s' if depth > 1 else ''}"
        ax.plot([run.n for run in runs], [run.loss for run in runs], "s-", color=colour, ms=4.5, lw=1, label=label)
    log_axes(ax, "N", "L")
    ax.legend(loc="best")
    ax.set_title("LSTMs and Transformers")


@panel
def lstm_by_position(study: Study, ax: Axes) -> None:
    """Held-out loss by place in the context, of LSTMs (dashes) and Transformers, the largest of each."""
    decoders, lstms = _beside(study, "lstm")
    for runs, colour, name in ((decoders, BLUE, "Transformer"), (longest(lstms), SERIES[1], "LSTM")):
        for run in runs[-_FEWEST:]:
            ax.plot(
                *position_curve(run.points), color=colour, lw=1.2,
                ls="-" if run is runs[-1] else ":", label=f"{name}, N = {run.n:.3g}",
            )  # fmt: skip
    log_axes(ax, "T", "L")
    ax.legend(loc="best")
    ax.set_title("Loss by place in the context")


@panel
def universal_by_size(study: Study, ax: Axes) -> None:
    """Held-out loss of Transformers with and without shared weights against N, which counts shared weights once."""
    _universal(study, ax, "N")


@panel
def universal_by_compute(study: Study, ax: Axes) -> None:
    """Held-out loss of Transformers with and without shared weights against compute, which counts every use."""
    _universal(study, ax, "C")


def _universal(study: Study, ax: Axes, x: str) -> None:
    decoders, shared = _beside(study, "universal")
    for runs, colour, name in ((decoders, BLUE, "Transformers"), (longest(shared), SERIES[1], "with shared weights")):
        if x == "C" and (bare := [run for run in runs if "C_exact_causal" not in run.record.counts]):
            raise LacksData(f"run {bare[0].id} was recorded without C_exact_causal, which counts every use of a weight")
        values = [run.n if x == "N" else run.record.counts["C_exact_causal"] * run.d / run.record.counts["D"]
                  for run in runs]  # fmt: skip
        ax.plot(values, [run.loss for run in runs], "o-", color=colour, ms=4.5, lw=1, label=name)
    log_axes(ax, x, "L")
    if x == "C":
        ax.set_xlabel("training FLOPs, every use of a weight counted")
    ax.legend(loc="best")
    ax.set_title("Weights shared over depth")
