"""Every figure is in the table, is drawn where the data allow it, and else says what they lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.errors import LacksData, SpecError
from isoflop.fitting import fit
from isoflop.report.figures import (
    CHINCHILLA,
    FIGURES,
    KAPLAN,
    Entry,
    Study,
    draw_figure,
    draw_figures,
    learning_curves,
    loss_against_n,
    loss_curves,
    save_figure,
    trade_off,
)
from isoflop.report.findings import find
from isoflop.report.style import new_figure
from isoflop.runs import RunStore
from report.known import add_purposes

OF_A_GRID = {
    "1", "4", "9", "23", "chinchilla-4", "frontier", "ratio", "residuals", "intervals", "profiles", "corner", "curves",
    "serving", "emergence",
}  # fmt: skip
OF_PURPOSES = {
    "2", "3", "4", "5", "10", "11", "12", "13", "14", "15", "18", "19", "landscape",
    "chinchilla-1", "chinchilla-2", "chinchilla-3",
}  # fmt: skip


@pytest.fixture(scope="module")
def of_grid(grid: RunStore) -> Study:
    return Study.of(grid)


@pytest.fixture(scope="module")
def of_purposes(tmp_path_factory: pytest.TempPathFactory) -> Study:
    from report.conftest import make_grid

    return Study.of(add_purposes(make_grid(tmp_path_factory.mktemp("purposes") / "study")))


def test_the_table_has_all_figures_of_both_papers_with_the_data_that_they_need() -> None:
    assert [entry.name for entry in KAPLAN] == [str(number) for number in range(1, 25)]
    assert [entry.name for entry in CHINCHILLA] == [f"chinchilla-{number}" for number in range(1, 5)]
    for entry in FIGURES.values():
        assert entry.needs
        assert entry.panels
        assert all(panel.__doc__ for panel in entry.panels)


@pytest.mark.parametrize("entry", FIGURES.values(), ids=lambda entry: entry.name)
def test_a_grid_of_runs_gives_a_figure_or_what_it_lacks(of_grid: Study, entry: Entry) -> None:
    drawn = draw_figure(entry, of_grid)
    assert (drawn.figure is not None) == (entry.name in OF_A_GRID)
    assert len(drawn.lacks) == len(entry.panels) or drawn.figure is not None
    assert all(len(why) > 15 for why in drawn.lacks.values())


@pytest.mark.parametrize("name", sorted(OF_PURPOSES))
def test_groups_made_for_purposes_give_their_figures_on_labelled_axes(of_purposes: Study, name: str) -> None:
    drawn = draw_figure(FIGURES[name], of_purposes)
    assert drawn.figure is not None
    panels = [ax for ax in drawn.figure.axes if ax.get_label() != "<colorbar>"]
    assert len(panels) == len(FIGURES[name].panels) - len(drawn.lacks)
    for ax in panels:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_title()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("8", "no run was evaluated on another corpus"),
        ("18", "no runs were made to show the critical batch size"),
        ("20", "no run measured its loss by place"),
        ("roofline", "no device was named"),
        ("repeats", "fewer than 3 runs saw their tokens"),
        ("7", "0 sizes of architecture 'lstm'"),
    ],
)
def test_what_is_lacking_is_said(of_grid: Study, name: str, why: str) -> None:
    assert all(reason.startswith(why) for reason in draw_figure(FIGURES[name], of_grid).lacks.values())


def test_a_fit_alone_shows_what_it_knows_and_says_what_needs_the_runs(store: RunStore) -> None:
    fitted = fit("chinchilla", store)
    assert "chinchilla" in loss_against_n(fitted).get_title()
    with pytest.raises(LacksData, match="give the run store"):
        loss_curves(fitted)


def test_what_was_found_is_a_source_too(study: RunStore) -> None:
    findings, _ = find(study)
    batch, steps = findings[:2]
    assert len(trade_off(batch.result).lines) == 2 * len(batch.result.levels)  # type: ignore[union-attr]
    ax = new_figure(1)[1][0]
    assert learning_curves(steps, ax=ax) is ax


@pytest.mark.parametrize(("form", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_are_written_in_the_format_of_their_name(
    of_grid: Study, tmp_path: Path, form: str, begins: bytes
) -> None:
    (drawn,) = draw_figures(of_grid, ["23"])
    assert drawn.figure is not None
    save_figure(drawn.figure, tmp_path / "new" / f"figure.{form}")
    assert (tmp_path / "new" / f"figure.{form}").read_bytes().startswith(begins)


def test_another_format_or_figure_is_refused_with_what_there_is(of_grid: Study, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="png, svg, pdf"):
        save_figure(new_figure(1)[0], tmp_path / "figure.gif")
    with pytest.raises(SpecError, match="did you mean 'chinchilla-3'"):
        draw_figures(of_grid, ["chinchila-3"])
