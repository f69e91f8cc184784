"""The same runs under a metric that jumps and under one that moves smoothly (Schaeffer et al. 2023, Fig 2)."""

from __future__ import annotations

from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.laws.presets import PF_DAY
from isoflop.planning import edit_distance, exact_match
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import LABELS, Colours

_LENGTHS = (1, 2, 4, 8, 16, 32)
_MEASURED = "val_exact_match_"
_FEWEST = 3


@panel
def exact_answers(study: Study, ax: Axes) -> None:
    """Share of answers of k tokens without a miss: exp(-k L) of the losses (lines), and as measured (dots)."""
    compute, loss = _best(study)
    measured = _shares(study)
    lengths, colours = _lengths(study)
    for k in lengths:
        ax.plot(compute / PF_DAY, exact_match(loss, k), "-", color=colours(k), lw=1.2)
        if k in measured:
            ax.plot(*measured[k], "o", color=colours(k), ms=4, mec="white", mew=0.5)
    ax.set_xscale("log")
    ax.set_xlabel(LABELS["C_pf"])
    ax.set_ylabel("answers right in every token, share")
    ax.set_title("A metric that jumps: exact match")
    colours.bar(ax)


@panel
def wrong_tokens(study: Study, ax: Axes) -> None:
    """Tokens of an answer of k that are wrong, k (1 - exp(-L)), of the same runs."""
    compute, loss = _best(study)
    lengths, colours = _lengths(study)
    for k in lengths:
        ax.plot(compute / PF_DAY, edit_distance(loss, k), "-", color=colours(k), lw=1.2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(LABELS["C_pf"])
    ax.set_ylabel("tokens of an answer that are wrong")
    ax.set_title("One that does not: wrong tokens")
    colours.bar(ax)


def _lengths(study: Study) -> tuple[list[int], Colours]:
    lengths = sorted(_shares(study)) or list(_LENGTHS)
    return lengths, Colours(lengths, "k, tokens of an answer")


def _best(study: Study) -> tuple[Array, Array]:
    """C and L of the runs on the compute frontier."""
    columns = study.best_runs()
    if len(columns["C"]) < _FEWEST:
        raise LacksData(f"{len(columns['C'])} runs are the best of their compute; a curve needs {_FEWEST}")
    return columns["C"], columns["L"]


def _shares(study: Study) -> dict[int, tuple[list[float], list[float]]]:
    """By k: compute in PF-days and share of stretches without a miss at the end of each run that measured it."""
    found: dict[int, tuple[list[float], list[float]]] = {}
    for run in () if study.store is None else study.scaling:
        for column in (name for name in run.points if name.startswith(_MEASURED)):
            share = run.curve(column)[2]
            if len(share):
                x, y = found.setdefault(int(column.removeprefix(_MEASURED)), ([], []))
                x.append(6 * run.n * run.d / PF_DAY)
                y.append(float(share[-1]))
    return found
