"""Commands that answer from laws: ``fit`` and ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.app import AsJson, Level, StorePath, app
from isoflop.cli.console import emit, print_table
from isoflop.errors import FitError, PlanError

if TYPE_CHECKING:
    from isoflop.report.analysis import Analysis


@app.command(epilog="Example: isoflop fit runs/quickstart --law chinchilla")
def fit(
    store: StorePath,
    law: Annotated[str | None, typer.Option(help="One law by name; default all that the runs determine.")] = None,
    compute: Annotated[str, typer.Option(help="With all laws: the budget to plan for.")] = "1e15 FLOP",
    level: Level = 0.95,
    save: Annotated[
        Path | None, typer.Option(help="With --law: write the fit as JSON, for isoflop plan --fit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit scaling laws to the finished runs of a store, with intervals and a check on the largest runs held out."""
    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    if law is None:
        from isoflop.report.analysis import analyse

        show_analysis(analyse(opened, compute=compute, level=level), as_json)
        return
    from isoflop.fitting import fit as fit_law

    fitted = fit_law(law, opened, level=level)
    if save is not None:
        fitted.save(save)
    if as_json:
        emit(fitted.to_dict(), as_json)
        return
    print(fitted)
    try:
        print(fitted.holdout())
    except FitError as error:
        print(f"not checked on held-out runs: {error.message}")


@app.command(epilog="Example: isoflop plan --compute '5.76e23 FLOP' --law chinchilla-besiroglu")
def plan(
    compute: Annotated[str, typer.Option(help="The budget: '1e24 FLOP', '300 PF-days'.")],
    law: Annotated[str | None, typer.Option(help="A published set, or with --store the law to fit.")] = None,
    store: Annotated[Path | None, typer.Option(help="Plan from a fit to the runs of this store.")] = None,
    fit: Annotated[Path | None, typer.Option(help="Plan from a fit saved by isoflop fit --save.")] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Parameters, tokens and loss that a compute budget should buy, with intervals where the law has them."""
    from isoflop.planning import plan as make_plan

    basis: Any = law or "chinchilla-besiroglu"
    if fit is not None and store is not None:
        raise PlanError("both --fit and --store were given", hint="plan from one of them")
    if fit is not None:
        from isoflop.fitting import Fit

        basis = Fit.load(fit)
    elif store is not None:
        from isoflop.fitting import fit as fit_law
        from isoflop.runs import RunStore

        basis = fit_law(law or "chinchilla", RunStore(store, create=False), level=level)
    answer = make_plan(compute, basis, level=level)
    emit(answer.to_dict() if as_json else str(answer), as_json)


def show_analysis(analysis: Analysis, as_json: bool) -> None:
    """The laws of a study as a table, what to know about them, and the plan."""
    from isoflop.report.tables import LAW_HEADINGS, law_row, notes

    if as_json:
        emit(analysis.to_dict(), as_json)
        return
    print_table(LAW_HEADINGS, (law_row(law) for law in analysis.laws))
    for note in notes(analysis):
        print(f"note: {note}")
    print(f"\nplanned from {analysis.best.fit.law.name}: of the joint laws, the best on the largest models held out\n")
    print(analysis.plan)
