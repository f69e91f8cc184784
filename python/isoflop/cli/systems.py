"""The command that sets two systems side by side: ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoflop.cli.app import AsJson, Level, NConvention, WhichN, app
from isoflop.cli.console import emit
from isoflop.cli.fits import read_runs
from isoflop.errors import FitError


@app.command(epilog="Example: isoflop compare runs/adamw runs/muon")
def compare(
    runs: Annotated[
        list[str], typer.Argument(help="The baseline's runs, then those of others: stores or files.", metavar="RUNS")
    ],
    by: Annotated[str | None, typer.Option(help="One file of all runs: the column with the system's name.")] = None,
    baseline: Annotated[str | None, typer.Option(help="With --by: the system that others are held against.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="A column of a file by its name in laws: L=loss.")] = None,
    n_convention: WhichN = NConvention.nonembedding,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """How much less compute one optimizer, corpus or architecture needs than another for the same loss."""
    from isoflop.planning.systems import compare_all, split_systems

    if (by is None) != (len(runs) > 1):
        raise FitError(
            f"{len(runs)} sets of runs {'without' if by is None else 'and'} --by",
            hint="isoflop compare BASELINE OTHER, or isoflop compare runs.csv --by optimizer",
        )
    if by is None:
        if baseline is not None:
            raise FitError("--baseline names a system of --by", hint="the first of the runs is the baseline")
        systems = {_name(each): read_runs(each, column or (), n_convention=n_convention) for each in runs}
        if len(systems) < len(runs):
            raise FitError(f"two sets of runs have one name: {', '.join(runs)}", hint="name each once")
    else:
        systems = split_systems(read_runs(runs[0], column or (), n_convention=n_convention), by)
    compared = compare_all(systems, baseline or next(iter(systems)), level=level)
    emit([each.to_dict() for each in compared] if as_json else "\n\n".join(map(str, compared)), as_json)


def _name(runs: str) -> str:
    return Path(runs).name.removesuffix(Path(runs).suffix if Path(runs).is_file() else "")
