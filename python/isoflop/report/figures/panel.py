"""How a figure's function is called: with whatever source, and axes of its own or given ones, which it returns."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, cast

from matplotlib.axes import Axes

from isoflop.report.figures.study import Source, Study
from isoflop.report.style import new_figure, readable_ticks, say_what_n_counts, styled

P = ParamSpec("P")


class Panel(Protocol[P]):
    """A function that draws one picture.

    Raises:
        LacksData: the source lacks what is to be shown.
        FitError: its runs do not determine the law that is to be shown.
    """

    __name__: str
    __doc__: str | None

    def __call__(self, source: Source, ax: Axes | None = None, *args: P.args, **kwargs: P.kwargs) -> Axes:
        """Draw it of ``source`` on ``ax``, or on the axes of a new figure; returns them."""


def panel(draw: Callable[Concatenate[Study, Axes, P], None]) -> Panel[P]:
    """A figure's function from one that draws a study on axes."""

    @wraps(draw)
    @styled
    def on(source: Source, ax: Axes | None = None, *args: P.args, **kwargs: P.kwargs) -> Axes:
        ax = new_figure(1)[1][0] if ax is None else ax
        study, others = Study.of(source), ax.figure.axes
        draw(study, ax, *args, **kwargs)
        for drawn in (ax, *(each for each in ax.figure.axes if each not in others)):  # a scale of colours has its own
            say_what_n_counts(drawn, study.n_convention)
        readable_ticks(ax)
        return ax

    return cast("Panel[P]", on)
