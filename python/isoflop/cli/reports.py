"""What a store shows: ``report`` writes its page, ``report figures`` the pictures that its runs allow."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.answers import show_analysis
from isoflop.cli.app import AsJson, Level, NConvention, StorePath, Verbs, WhichN, app
from isoflop.cli.console import emit, print_table, stderr
from isoflop.errors import SpecError, require

if TYPE_CHECKING:
    from isoflop.report.figures import Roof
    from isoflop.runs import RunStore

_DEFAULT = "page"


class _PageUnlessNamed(Verbs):
    """Verbs, of which the page is the one that is meant where none is named: ``report STORE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else [_DEFAULT, *args])


report_app = typer.Typer(
    cls=_PageUnlessNamed,
    help="Fit, plan, and write the figures and one HTML page: isoflop report STORE. Or draw figures.",
    no_args_is_help=True,
    epilog="Example: isoflop report runs/study --compute '1e15 FLOP'",
)
app.add_typer(report_app, name="report")


@report_app.command(_DEFAULT, epilog="Example: isoflop report page runs/study --compute '1e15 FLOP'")
def report(
    store: StorePath,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A page (NAME.html), or a folder for it and figures; default STORE/report."
        ),
    ] = None,
    compute: Annotated[
        str | None, typer.Option(help="The budget to plan for; default some ten times the largest run's.")
    ] = None,
    n_convention: WhichN = NConvention.nonembedding,
    level: Level = 0.95,
    live: Annotated[bool, typer.Option("--live", help="Serve the page to this machine, and follow the sweep.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit, plan, and write one HTML page with a planner, and figures; what is done where no command is named."""
    from isoflop.runs import RunStore

    opened = RunStore(store, create=False).counting(n_convention.value)
    if live:
        if output is not None:
            raise SpecError("--live serves the page and writes none", hint="leave --output out")
        _serve_live(opened, compute, level, as_json)
        return
    answer(opened, compute, level, opened.path / "report" if output is None else output, as_json)


@report_app.command(epilog="Example: isoflop report figures runs/study --only 1,4,9 --format svg")
def figures(
    store: StorePath,
    only: Annotated[str | None, typer.Option(help="Names, as in 1,4,9,chinchilla-3; all where left out.")] = None,
    form: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    dpi: Annotated[int, typer.Option(min=20, help="Of PNG: pixels an inch.")] = 130,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; default STORE/figures.")] = None,
    device: Annotated[str | None, typer.Option(help="Of the roofline, as h100-sxm: where ops could be.")] = None,
    bench: Annotated[Path | None, typer.Option(help="Of the roofline: JSON of isoflop bench, ops as timed.")] = None,
    n_convention: WhichN = NConvention.nonembedding,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Draw the figures of Kaplan et al., of Hoffmann et al. and others that the runs allow; say what the rest lack."""
    from isoflop.report.figures import FORMATS, Study, choose, draw_figure, save_figure
    from isoflop.runs import RunStore

    if form not in FORMATS:
        raise SpecError(f"--format {form!r} is no format of figures", hint=f"one of {', '.join(FORMATS)}")
    entries = choose(None if only is None else [name.strip() for name in only.split(",") if name.strip()])
    opened = RunStore(store, create=False).counting(n_convention.value)
    folder = opened.path / "figures" if output is None else output
    stderr().print("fitting and drawing (the first time compiles the solver: some seconds)", highlight=False)
    study = Study(store=opened, roof=_roof(device, bench), level=level)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        drawn = draw_figure(entry, study)
        path = folder / f"{entry.name}.{form}"
        if drawn.figure is not None:
            save_figure(drawn.figure, path, dpi=dpi)
        file = None if drawn.figure is None else str(path)
        rows.append({"figure": entry.name, "title": entry.title, "file": file, "lacks": drawn.lacks})
    if as_json:
        emit(rows, as_json)
        return
    print_table(("figure", "what it shows", "file, or what is lacking"), (_cells(row) for row in rows))


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    """A line of the table: the file, and once each what panels lack."""
    lacks, reasons = row["lacks"], dict.fromkeys(row["lacks"].values())
    said = [] if row["file"] is None else [row["file"]]
    said += [f"left out {name}: {why}" for name, why in lacks.items()] if said else [f"not drawn: {r}" for r in reasons]
    return row["figure"], row["title"], "\n".join(said)


def _roof(device: str | None, bench: Path | None) -> Roof | None:
    """Of the roofline: timed ops of a file, or where those of a named device could be."""
    if bench is None and device is None:
        return None
    require("torch", extra="train")
    from isoflop.benchmark.roofs import predicted_roof, read_roof

    return read_roof(bench) if bench is not None else predicted_roof(str(device))


def _serve_live(store: RunStore, compute: str | None, level: float, as_json: bool) -> None:
    """Until it is interrupted."""
    from isoflop.report.page.live import Live, LiveServer

    with suppress(KeyboardInterrupt), LiveServer(Live(store, compute=compute, level=level)) as server:
        emit({"url": server.url} if as_json else f"live until Ctrl-C: {server.url}", as_json)
        sys.stdout.flush()
        server.serve_forever()


def answer(store: RunStore, compute: str | None, level: float, output: Path, as_json: bool) -> None:
    """Analyse a store, print what it says and write the page, or a folder of it and the figures."""
    from isoflop.report.analysis import analyse
    from isoflop.report.page import write_page, write_report

    stderr().print("fitting (the first time compiles the solver: some seconds)", highlight=False)
    analysis = analyse(store, compute=compute, level=level)
    page = (write_page if output.suffix == ".html" else write_report)(analysis, output)
    if as_json:
        emit({**analysis.to_dict(), "report": str(page)}, as_json)
        return
    show_analysis(analysis, as_json)
    print(f"report: {page}")
