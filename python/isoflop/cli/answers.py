"""The command that answers from a law: ``plan``; and how an analysis prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.app import AsJson, Level, NConvention, app
from isoflop.cli.console import emit, print_table, read_fields
from isoflop.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from isoflop.planning import Fleet, Plan, Settled
    from isoflop.planning.page import Page
    from isoflop.report.analysis import Analysis


@app.command(epilog="Example: isoflop plan --compute '5.76e23 FLOP' --law chinchilla-besiroglu")
def plan(
    compute: Annotated[str | None, typer.Option(help="The budget: '1e24 FLOP', '300 PF-days'.")] = None,
    params: Annotated[
        float | None, typer.Option(help="N is settled: what a budget, tokens or a loss make of it.")
    ] = None,
    tokens: Annotated[float | None, typer.Option(help="D is settled.")] = None,
    loss: Annotated[float | None, typer.Option(help="A loss to reach; alone, with the least compute.")] = None,
    law: Annotated[str | None, typer.Option(help="A published set, or with --store the law to fit.")] = None,
    store: Annotated[str | None, typer.Option(help="Plan from a fit to the runs of this store.")] = None,
    n_convention: Annotated[
        NConvention, typer.Option(help="With --store: the parameters that N counts.")
    ] = NConvention.nonembedding,
    fit: Annotated[Path | None, typer.Option(help="Plan from a fit saved by isoflop fit --save.")] = None,
    serve: Annotated[float, typer.Option(help="Tokens served over the lifetime: the cheapest model of that loss.")] = 0,
    unique: Annotated[float, typer.Option(help="Unique tokens at hand: the best use of the budget with repeats.")] = 0,
    shape: Annotated[bool, typer.Option("--shape", help="A concrete shape of that size, with what it costs.")] = False,
    vocab: Annotated[int, typer.Option(help="With --shape: vocabulary.")] = 50_257,
    ctx: Annotated[int, typer.Option(help="With --shape or --days: context, tokens.")] = 2048,
    convention: Annotated[str, typer.Option(help="With --shape: how its FLOPs are counted.")] = "exact-causal",
    field: Annotated[list[str] | None, typer.Option(help="With --shape: a field of it: activation=swiglu.")] = None,
    device: Annotated[str | None, typer.Option(help="Memory for the shape; with --mfu days and electricity.")] = None,
    count: Annotated[int, typer.Option(help="Of devices.")] = 1,
    mfu: Annotated[
        str | None, typer.Option(help="Share of their dense bf16 peak that is reached, or JSON of isoflop bench.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="With --shape: how devices share it, dp=64,tp=8,pp=4,zero=1: a step's time by arithmetic."),
    ] = None,
    batch: Annotated[float, typer.Option(help="With --layout: tokens of a step.")] = 2**22,
    efficiency: Annotated[float, typer.Option(help="With --layout: of the peak that products reach.")] = 1.0,
    days: Annotated[
        float | None,
        typer.Option(help="End in so many: the fewest devices for a budget, or the best that --count of them train."),
    ] = None,
    soonest: Annotated[
        bool, typer.Option("--soonest", help="With --loss: the model that reaches it first on --count devices.")
    ] = False,
    price: Annotated[float | None, typer.Option(help="Of a device's hour.")] = None,
    pue: Annotated[float, typer.Option(help="The building's electricity over the devices'.")] = 1.0,
    grid: Annotated[float | None, typer.Option(help="kg of CO2 equivalent a kWh, of the place and year.")] = None,
    vary: Annotated[
        list[float] | None,
        typer.Option(help="Values of what the law sees beside N and D: bits, share at rest, granularity, experts."),
    ] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Parameters, tokens and loss that a compute budget should buy, with intervals where the law has them."""
    from isoflop import planning

    basis: Any = law or "chinchilla-besiroglu"
    if fit is not None and store is not None:
        raise PlanError("both --fit and --store were given", hint="plan from one of them")
    if fit is not None:
        from isoflop.fitting import Fit

        basis = Fit.load(fit)
    elif store is not None:
        from isoflop.fitting import fit as fit_law
        from isoflop.runs import RunStore

        basis = fit_law(law or "chinchilla", RunStore(store, create=False).counting(n_convention.value), level=level)
    if vary:
        from isoflop.planning.axes import basis_of_axis

        if compute is None:
            raise PlanError("--vary asks what is spent", hint="--compute '1e22 FLOP'")
        show_columns(planning.vary(compute, basis, vary, level=level), as_json)
        if not as_json:
            print(basis_of_axis(basis)[1].credit)
        return
    options = _layout(layout)
    if options and (not shape or device is None or mfu is not None or days is not None or count != 1):
        raise PlanError(
            "--layout says how many devices there are and how busy they are",
            hint="with --shape and --device, without --count, --mfu and --days",
        )
    fleet = None if device is None or mfu is None else planning.Fleet(device, _share(mfu, device), share=ctx)
    count = options.get("dp", 1) * options.get("tp", 1) * options.get("pp", 1) if options else count
    space = None
    if shape:
        # Heads are of 64 or 128: those of such a width are cut into as many parts as the layout asks for.
        wide = 128 * options["tp"] if options.get("tp", 1) > 1 else 64
        fields = read_fields(field or [])
        space = planning.Space(vocab, ctx, convention, device, count, multiple_of=wide, fields=fields)
    settled = {"n_params": params, "n_tokens": tokens, "loss": loss}
    answer: Plan | Settled
    if any(value is not None for value in settled.values()):
        answer = planning.settle(basis, compute=compute, **settled, level=level, shape=space)
    else:
        answer = planning.plan(_budget(compute, basis, fleet, count, days), basis, level=level, shape=space)
    laid_out = None
    if options and device is not None and answer.shape is not None:
        laid_out = planning.lay_out(answer.shape, device, batch_tokens=batch, efficiency=efficiency, **options)
        fleet = planning.Fleet(device, laid_out.mfu, share=ctx)
    served = planning.serve(basis, serve, compute=answer.compute, level=level) if serve else None
    repeated = planning.repeat(answer.compute, unique, level=level) if unique else None
    if device is not None and fleet is None and not shape:
        raise PlanError(f"how busy {device} is was not said", hint="--mfu 0.4, or what isoflop bench measured")
    paced = None
    if days is not None:
        if fleet is None:
            raise PlanError("--days asks what computes and how well", hint="--device h100-sxm --mfu 0.4")
        paced = planning.pace(answer, fleet, days=days)
        count = paced.count
    if soonest:
        if fleet is None or loss is None or days is not None:
            raise PlanError(
                "--soonest asks for a loss, and what computes", hint="--loss 2.1 --device h100-sxm --mfu 0.4"
            )
        paced = planning.fastest(basis, loss, fleet, count)
    charged = (
        None if fleet is None
        else planning.bill(
            (paced or answer).compute, fleet.device, mfu=fleet.mfu, count=count, price=price, pue=pue, grid=grid
        )
    )  # fmt: skip
    above = [each for each in planning.crossings(answer.compute) if each.crossed and each.in_force]
    if as_json:
        given = {"serving": served, "repeats": repeated, "layout": laid_out, "pace": paced, "bill": charged}
        more = {name: each.to_dict() for name, each in given.items() if each is not None}
        named = {"thresholds": [each.threshold.key for each in above]} if above else {}
        emit(answer.to_dict() | more | named, as_json)
    else:
        show_page(answer.page)
        for each in (served, repeated, laid_out, paced, charged):
            if each is not None:
                print(f"\n{each}")
        for crossed in above:
            print(f"\nnote: {crossed}")


def _budget(compute: str | None, basis: Any, fleet: Fleet | None, count: int, days: float | None) -> str | float:
    """FLOPs as given, or those that devices make in days."""
    if compute is not None:
        return compute
    if fleet is None or days is None:
        raise PlanError("no budget and nothing to reach", hint="--compute '1e24 FLOP', or --loss 2.1")
    from isoflop.planning import within

    return within(basis, fleet, count, days).least_compute


def _layout(text: str | None) -> dict[str, Any]:
    """Options written NAME=COUNT, with commas between them."""
    options: dict[str, Any] = {}
    for word in text.split(",") if text else ():
        name, _, number = word.partition("=")
        if not number.strip().isdigit():
            raise PlanError(f"--layout {word!r} is no NAME=COUNT", hint="--layout dp=64,tp=8,pp=4,zero=1")
        options[name.strip()] = int(number)
    return options


def _share(mfu: str, device: str) -> float:
    """The share itself, or that of a file of measurements on such a device."""
    try:
        return float(mfu)
    except ValueError:
        from isoflop.planning import measured_mfu

        return measured_mfu(mfu, device)


def show_columns(columns: Mapping[str, NDArray[np.float64]], as_json: bool) -> None:
    """Columns as a table; an interval stands beside its value."""
    if as_json:
        emit({name: column.tolist() for name, column in columns.items()}, as_json)
        return
    names = [name for name in columns if not name.endswith(("_low", "_high"))]

    def cell(name: str, i: int) -> str:
        low_high = [columns[end][i] for end in (f"{name}_low", f"{name}_high") if end in columns]
        return f"{columns[name][i]:.4g}" + (f" [{low_high[0]:.4g}, {low_high[1]:.4g}]" if low_high else "")

    print_table(names, ([cell(name, i) for name in names] for i in range(columns[names[0]].size)))


def show_page(page: Page) -> None:
    """A plan to be acted on: its quantities as a table, what follows, whose constants these are, warnings."""
    print(page.head)
    print_table(("", "value", "interval", ""), page.rows)
    for fact in page.facts:
        print(fact)


def show_analysis(analysis: Analysis, as_json: bool) -> None:
    """The laws of a study and its findings as tables, what to know about them, and the plan."""
    from isoflop.report.tables import FINDING_HEADINGS, LAW_HEADINGS, finding_row, law_row, notes

    if as_json:
        emit(analysis.to_dict(), as_json)
        return
    print_table(LAW_HEADINGS, (law_row(law) for law in analysis.laws))
    if analysis.findings:
        print_table(FINDING_HEADINGS, map(finding_row, analysis.findings))
    for note in notes(analysis):
        print(f"note: {note}")
    print(f"\nplanned from {analysis.best.fit.law.name}: of the joint laws, the best on the largest models held out\n")
    show_page(analysis.plan.page)
