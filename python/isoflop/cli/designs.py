"""The command that says what to run next: ``design``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.app import AsJson, Level, app
from isoflop.cli.console import emit, print_table
from isoflop.errors import PlanError

if TYPE_CHECKING:
    from isoflop.designing import Design


@app.command(epilog="Example: isoflop design --store runs/quickstart --budget 1e15 --target 'L_opt(1e17)'")
def design(
    budget: Annotated[str, typer.Option(help="Of all runs together: '1e20 FLOP', '3 PF-days'.")],
    target: Annotated[
        list[str], typer.Option(help="What is to be known: 'L_opt(1e23)', 'N_opt(1e23)', 'L(N=7e9, D=1e12)', a, alpha.")
    ],
    law: Annotated[str | None, typer.Option(help="A published set, or with --store the law to fit.")] = None,
    store: Annotated[str | None, typer.Option(help="The runs so far.")] = None,
    fit: Annotated[Path | None, typer.Option(help="A fit saved by isoflop fit --save.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="At most.")] = 24,
    replicates: Annotated[int, typer.Option(min=1, help="Of one run at most, each with a seed of its own.")] = 3,
    params: Annotated[str | None, typer.Option(help="Range of N: 1e6:1e9.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Range of D: 1e8:1e11.")] = None,
    tokens_per_param: Annotated[str, typer.Option(help="Range of D/N.")] = "2:500",
    n_ctx: Annotated[int, typer.Option(min=1, help="Of every shape.")] = 1024,
    n_vocab: Annotated[int, typer.Option(min=1, help="Of every shape.")] = 50_257,
    noise: Annotated[float | None, typer.Option(help="Of a run, of its loss; that of the fit unless given.")] = None,
    misfit: Annotated[float, typer.Option(help="Of the law, likewise; 0 takes it at its word.")] = 0.02,
    doubt: Annotated[float, typer.Option(help="Of presumed constants, relatively.")] = 0.3,
    slots: Annotated[int, typer.Option(min=1, help="Runs made at the same time.")] = 1,
    stack: Annotated[int, typer.Option(min=1, help="Models of one shape in one launch.")] = 1,
    step_overhead: Annotated[float, typer.Option(help="FLOPs that a step's overhead is worth.")] = 0.0,
    batch_tokens: Annotated[float | None, typer.Option(help="Tokens a step.")] = None,
    corpus: Annotated[str, typer.Option(help="Of the study that is written.")] = "stdlib",
    save: Annotated[Path | None, typer.Option(help="Write the runs as a study for isoflop sweep.")] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """The next runs: those that make a target surest for their FLOPs, as a study to sweep."""
    from isoflop.designing import Machine, Space
    from isoflop.designing import design as make_design

    found = make_design(
        _basis(law, store, fit, level),
        budget,
        target,
        space=Space(
            n_params=_range("--params", params),
            n_tokens=_range("--tokens", tokens),
            tokens_per_param=_range("--tokens-per-param", tokens_per_param) or Space().tokens_per_param,
            shape={"n_ctx": n_ctx, "n_vocab": n_vocab},
        ),
        noise=noise,
        misfit=misfit,
        doubt=doubt,
        runs=runs,
        replicates=replicates,
        machine=Machine(slots=slots, stack=stack, step_overhead=step_overhead, batch_tokens=batch_tokens),
        level=level,
    )
    if save is not None:
        found.save(save, name=save.stem, corpus=corpus)
    if as_json:
        emit(found.to_dict(), as_json)
    else:
        _show(found, save)


def _basis(law: str | None, store: str | None, fit: Path | None, level: float) -> Any:
    if fit is not None and store is not None:
        raise PlanError("both --fit and --store were given", hint="design from one of them")
    if fit is not None:
        from isoflop.fitting import Fit

        return Fit.load(fit)
    if store is not None:
        from isoflop.fitting import fit as fit_law
        from isoflop.runs import RunStore

        return fit_law(law or "chinchilla", RunStore(store, create=False), level=level)
    return law or "chinchilla-besiroglu"


def _range(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise PlanError(f"{option} {text!r} is no range", hint=f"{option} 1e6:1e9") from None


def _show(found: Design, save: Path | None) -> None:
    from isoflop.designing.designed import AIM_HEADINGS, RUN_HEADINGS

    print_table(AIM_HEADINGS, (aim.row() for aim in found.aims))
    print_table(RUN_HEADINGS, (run.row() for run in found.runs))
    for fact in found.facts():
        print(fact)
    if save is not None:
        print(f"written to {save}: isoflop sweep {save} --dry-run")
