"""Figures by name: which of them a source allows, drawn and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from isoflop.errors import FitError, SpecError, StoreError, nearest
from isoflop.report.figures.panel import Panel
from isoflop.report.figures.study import Source, Study
from isoflop.report.figures.table import FIGURES, Entry
from isoflop.report.style import new_figure

FORMATS = ("png", "svg", "pdf")
"""Of files that figures are written to."""


@dataclass(frozen=True)
class Drawn:
    """A figure, or why it could not be drawn.

    Attributes:
        entry: which.
        figure: None where no panel of it could be drawn.
        lacks: by the name of each panel that was left out, the data that it lacks.
    """

    entry: Entry
    figure: Figure | None
    lacks: dict[str, str]


def choose(only: Sequence[str] | None = None) -> list[Entry]:
    """The entries of these names, all where None.

    Raises:
        SpecError: there is no figure of a name.
    """
    if unknown := [name for name in only or () if name not in FIGURES]:
        raise SpecError(f"there is no figure {unknown[0]!r}", hint=nearest(unknown[0], FIGURES))
    return list(FIGURES.values()) if only is None else [FIGURES[name] for name in only]


def draw_figure(entry: Entry, source: Source) -> Drawn:
    """One figure of a source, of the panels that it allows."""
    study = Study.of(source)
    panels, lacks = entry.panels, {}
    while panels:
        figure, axes = new_figure(len(panels), width=5.4 if len(panels) > 1 else 6.6)
        left: tuple[Panel[Any], ...] = ()
        for each, ax in zip(panels, axes, strict=True):
            try:
                each(study, ax)
                left += (each,)
            except FitError as error:
                lacks[each.__name__] = error.message
        if len(left) == len(panels):
            return Drawn(entry, figure, lacks)
        panels = left  # again, without room for those that were left out
    return Drawn(entry, None, lacks)


def draw_figures(source: Source, only: Sequence[str] | None = None) -> Iterator[Drawn]:
    """The figures of these names, all where None, one after the other; what is read and fitted is kept between them.

    Raises:
        SpecError: there is no figure of a name.
    """
    study, entries = Study.of(source), choose(only)
    return (draw_figure(entry, study) for entry in entries)


def save_figure(figure: Figure, path: Path, *, dpi: int = 130) -> None:
    """Write a figure in the format that the name ends in, of :data:`FORMATS`; ``dpi`` is of PNG.

    Raises:
        SpecError: another ending.
        StoreError: it cannot be written there.
    """
    form = path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise SpecError(f"a figure cannot be written as {form!r}", hint=f"one of {', '.join(FORMATS)}")
    if (engine := figure.get_layout_engine()) is not None:  # once; to save would draw it all twice for that
        engine.execute(figure)
        figure.set_layout_engine("none")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format=form, dpi=dpi)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
