"""The command line: verbs that parse, call the library and print: data to standard output, progress to the other."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from isoflop import __version__
from isoflop.errors import FitError, IsoflopError, PlanError, ShapeError

if TYPE_CHECKING:
    from isoflop.report.analysis import Analysis
    from isoflop.runs import RunStore
    from isoflop.sweep.study import Study

_PIPED_WIDTH = 110
_PASSES = ("forward", "dgrad", "wgrad")

app = typer.Typer(
    name="isoflop",
    help="Scaling studies of neural language models: count, train small, fit the law, plan large.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
runs_app = typer.Typer(help="What a run store holds.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")

StorePath = Annotated[Path, typer.Argument(help="A run store's folder.", metavar="STORE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Runs at a time; default one a core.")]
Level = Annotated[float, typer.Option(help="Of the intervals.")]


def main() -> None:
    """Run a command; an error the package raises on purpose becomes a message, its hint and an exit code."""
    try:
        app()
    except IsoflopError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


def _version(asked: bool) -> None:
    if asked:
        print(f"isoflop {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command(epilog="Example: isoflop demo")
def demo(
    store: Annotated[Path, typer.Option(help="Where the runs go.")] = Path("runs/quickstart"),
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """A small but real scaling study, start to end: train, record, fit, plan, report: three minutes on two cores."""
    from isoflop.sweep.study import read_study

    with ExitStack() as stack:
        study = read_study(stack.enter_context(as_file(files("isoflop") / "examples" / "quickstart.toml")))
    opened = _train(study, store, workers)
    _answer(opened, study.plan.compute, study.plan.level, opened.path / "report", as_json)


@app.command(epilog="Example: isoflop sweep study.toml --dry-run")
def sweep(
    study: Annotated[Path, typer.Argument(help="A study file (TOML).", metavar="STUDY")],
    store: Annotated[Path | None, typer.Option(help="Where the runs go; default runs/NAME.")] = None,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and train nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the runs of a study that its store lacks. After a stop, give the same command: what is finished is kept."""
    from isoflop.sweep.study import read_study

    asked = read_study(study)
    where = Path("runs") / asked.name if store is None else store
    if dry_run:
        _dry_run(asked, where, workers, as_json)
        return
    summary = _train(asked, where, workers).summary()
    _emit({"store": str(where), **summary} if as_json else f"{where}: " + _states(summary), as_json)


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

        _show(analyse(opened, compute=compute, level=level), as_json)
        return
    from isoflop.fitting import fit as fit_law

    fitted = fit_law(law, opened, level=level)
    if save is not None:
        fitted.save(save)
    if as_json:
        _emit(fitted.to_dict(), as_json)
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
    _emit(answer.to_dict() if as_json else str(answer), as_json)


@app.command(epilog="Example: isoflop count gpt2-xl --device h100-sxm --batch 8")
def count(
    name: Annotated[str | None, typer.Argument(help="A published model: gpt2-xl, llama-3-8b.", metavar="NAME")] = None,
    n_layer: Annotated[int | None, typer.Option(help="Blocks.")] = None,
    d_model: Annotated[int | None, typer.Option(help="Width.")] = None,
    n_head: Annotated[int | None, typer.Option(help="Query heads.")] = None,
    n_ctx: Annotated[int | None, typer.Option(help="Context, tokens.")] = None,
    n_vocab: Annotated[int | None, typer.Option(help="Vocabulary.")] = None,
    d_ff: Annotated[int | None, typer.Option(help="Hidden width; default 4 d_model.")] = None,
    n_kv_head: Annotated[int | None, typer.Option(help="Key/value heads; default n_head.")] = None,
    d_head: Annotated[int | None, typer.Option(help="Width of a head; default d_model / n_head.")] = None,
    norm: Annotated[str | None, typer.Option(help="layer (the default) or rms.")] = None,
    activation: Annotated[str | None, typer.Option(help="gelu (the default), relu2 or swiglu.")] = None,
    position: Annotated[str | None, typer.Option(help="learned (the default), rope or none.")] = None,
    bias: Annotated[bool | None, typer.Option(help="Biases; the default.")] = None,
    tied_embeddings: Annotated[bool | None, typer.Option(help="Unembedding is the token table; the default.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="Any other field of a shape: window=4096.")] = None,
    batch: Annotated[int, typer.Option(help="Sequences.")] = 1,
    seq: Annotated[int | None, typer.Option(help="Tokens of a sequence; default n_ctx.")] = None,
    convention: Annotated[list[str] | None, typer.Option(help="Show this one alone; may be repeated.")] = None,
    device: Annotated[str | None, typer.Option(help="Time and memory on it: h100-sxm.")] = None,
    dtype: Annotated[str, typer.Option(help="With --device: of the matrix products.")] = "bf16",
    as_json: AsJson = False,
) -> None:
    """Parameters and FLOPs of a published model, or of any shape, by every counting convention side by side.

    Fields given beside NAME replace its own.
    """
    from isoflop.named import get_named
    from isoflop.shape import Shape
    from isoflop.sheet import cost_sheet

    given = {key: value for key, value in locals().items() if key in Shape.__dataclass_fields__ and value is not None}
    given |= _fields(field or [])
    model = None if name is None else get_named(name)
    shape = Shape.from_dict(given) if model is None else model.shape.replace(**given)
    sheet = cost_sheet(shape, batch=batch, seq=seq, conventions=convention or (), on=device, dtype=dtype)
    if model is not None and not given:
        published = {"name": model.name, "params": model.params, "outside": model.outside}
        sheet = {"published": published | {"source": model.source, "note": model.note}, **sheet}
    _emit(sheet, as_json) if as_json else _show_sheet(sheet)


@app.command(epilog="Example: isoflop report runs/quickstart --compute '1e15 FLOP'")
def report(
    store: StorePath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; default STORE/report.")] = None,
    compute: Annotated[str, typer.Option(help="The budget to plan for.")] = "1e15 FLOP",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Fit, plan, and write the figures and one HTML page."""
    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    _answer(opened, compute, level, opened.path / "report" if output is None else output, as_json)


@runs_app.command("ls", epilog="Example: isoflop runs ls runs/quickstart")
def runs_ls(store: StorePath, as_json: AsJson = False) -> None:
    """Every run of a store with its state."""
    from isoflop.report.tables import RUN_HEADINGS, run_rows
    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    if as_json:
        _emit(opened.table().to_pylist(), as_json)
        return
    _table(RUN_HEADINGS, run_rows(opened))
    _emit(_states(opened.summary()), as_json)


@runs_app.command("show", epilog="Example: isoflop runs show runs/quickstart 3f2a")
def runs_show(store: StorePath, run: Annotated[str, typer.Argument(help="The id, or the start of it.")]) -> None:
    """The whole record of one run, as JSON."""
    import msgspec

    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    record = opened.find(run)
    _emit({**msgspec.to_builtins(record), "state": opened.state(record)}, as_json=True)


@app.command(epilog="Example: isoflop info --json")
def info(as_json: AsJson = False) -> None:
    """Versions, CPU instruction sets, memory, and GPUs if any."""
    from isoflop import hardware

    facts = hardware.info().to_dict()
    if as_json:
        _emit(facts, as_json)
        return
    packages = facts.pop("packages")
    facts |= {name: version or "not installed" for name, version in packages.items()}
    _table(("", ""), ((name, _plain(value)) for name, value in facts.items()))


def _train(study: Study, where: Path, workers: int | None) -> RunStore:
    """Make the missing runs of a study, with progress on standard error; failures are named at the end."""
    from isoflop.data import load_corpus
    from isoflop.runs import RunStore
    from isoflop.sweep.launcher import run_sweep
    from isoflop.sweep.progress import SweepProgress
    from isoflop.sweep.resolve import resolve

    specs = resolve(study, load_corpus(study.corpus))  # what cannot be run leaves no store behind
    store = RunStore(where)
    load_corpus(study.corpus, store.cache)
    with SweepProgress(_stderr()) as progress:
        result = run_sweep(specs, store, workers=workers, watcher=progress)
    if failed := [run for run, state in result.states.items() if state == "failed"]:
        raise IsoflopError(
            f"{len(failed)} of {len(specs)} runs failed: {result.errors[failed[0]]}",
            hint="the same command tries them again",
        )
    return store


def _dry_run(study: Study, where: Path, workers: int | None, as_json: bool) -> None:
    from isoflop.data import load_corpus
    from isoflop.hardware import cores
    from isoflop.runs import RunStore
    from isoflop.sweep.cost import estimate
    from isoflop.sweep.resolve import resolve

    specs = resolve(study, load_corpus(study.corpus))
    store = RunStore(where, create=False) if (where / "store.json").exists() else None
    forecast = estimate(specs, store, workers or int(cores()))
    if as_json:
        _emit(forecast.to_dict(), as_json)
        return
    cells = (
        (f"{s.counts()['N']:.3g}", f"{s.tokens:.3g}", f"{s.counts()['C_exact_causal']:.3g}", str(s.n_steps))
        for s in specs
    )
    _table(("N", "D", "FLOPs", "steps"), cells)
    _emit(str(forecast), as_json)


def _answer(store: RunStore, compute: str, level: float, folder: Path, as_json: bool) -> None:
    """Analyse a store, print what it says and write the report."""
    from isoflop.report.analysis import analyse
    from isoflop.report.page import write_report

    _stderr().print("fitting (the first time compiles the solver: some seconds)", highlight=False)
    analysis = analyse(store, compute=compute, level=level)
    page = write_report(analysis, folder)
    if as_json:
        _emit({**analysis.to_dict(), "report": str(page)}, as_json)
        return
    _show(analysis, as_json)
    print(f"report: {page}")


def _show(analysis: Analysis, as_json: bool) -> None:
    from isoflop.report.tables import LAW_HEADINGS, law_row, notes

    if as_json:
        _emit(analysis.to_dict(), as_json)
        return
    _table(LAW_HEADINGS, (law_row(law) for law in analysis.laws))
    for note in notes(analysis):
        print(f"note: {note}")
    print(f"\nplanned from {analysis.best.fit.law.name}: of the joint laws, the best on the largest models held out\n")
    print(analysis.plan)


def _fields(words: Sequence[str]) -> dict[str, Any]:
    """Fields written NAME=VALUE, values as in TOML; a word that is none of TOML's is text."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ShapeError(f"--field {word!r} has no value", hint=f"write --field {word}=VALUE")
        try:
            given[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            given[key] = value
    return given


def _show_sheet(sheet: dict[str, Any]) -> None:
    published = sheet.get("published")
    if published:
        print(f"{published['name']}: {published['params']:,.0f} parameters as published; {published['source']}")
        if published["outside"]:
            print(f"of them {published['outside']:,} of kinds not counted here: {published['note']}")
        elif published["note"]:
            print(f"note: {published['note']}")
    params = ["n_params", "n_embedding", "n_nonembedding"]
    if sheet["n_active_params"] != sheet["n_params"]:
        params.insert(1, "n_active_params")
    _table(("parameters", ""), ((key, f"{sheet[key]:,}") for key in params))
    n_tokens = sheet["batch"] * sheet["seq"]
    every = sum(sum(passes.values()) for passes in sheet["terms"].values())
    rows = (
        (term, *(f"{passes[name] / n_tokens:.6g}" for name in _PASSES), f"{sum(passes.values()) / every:.2%}")
        for term, passes in sheet["terms"].items()
    )
    _table(("term, FLOPs/token", "forward", "activation gradients", "weight gradients", "share"), rows)
    tokens = f"{sheet['batch']:,} x {sheet['seq']:,} tokens"
    on = sheet.get("device")
    columns = {
        "training FLOPs/token": (sheet["training_flops_per_token"], ".5g"),
        "of exact": (sheet["ratio_to_exact"], ".3f"),
        tokens: (sheet["training_flops"], ".4g"),
        **({"MFU at best": (on["mfu"], ".1%")} if on else {}),
    }
    few = len(sheet["sources"]) < 4  # room for whole sources
    cells = (
        (name, *(f"{values[name]:{form}}" for values, form in columns.values()), source if few else _who(source))
        for name, source in sheet["sources"].items()
    )
    _table(("convention", *columns, "source"), cells)
    if on:
        _show_device(on, tokens)


def _who(source: str) -> str:
    return source.partition(":")[0].partition(", embeddings")[0].partition(", attention")[0]


def _show_device(on: dict[str, Any], tokens: str) -> None:
    gigabytes = {key: f"{on[key] / 1e9:,.1f} GB" for key in ("memory_bytes", "state_bytes", "needed_bytes")}
    rows = [
        ("dense peak", f"{on['peak_flops'] / 1e12:,.4g} TFLOP/s, {on['dtype']}"),
        ("memory", gigabytes["memory_bytes"]),
        ("parameters, gradients, AdamW in mixed precision", gigabytes["state_bytes"]),
        (f"needed for {tokens}", gigabytes["needed_bytes"]),
        ("largest batch that fits", f"{on['largest_batch']:,}"),
        ("a step at the ceilings, at best", f"{on['seconds']:.4g} s, {on['tokens_per_second']:,.0f} tokens/s"),
    ]
    _table((on["name"], ""), rows)


def _emit(value: Any, as_json: bool) -> None:
    print(json.dumps(value, indent=1) if as_json else value)


def _states(summary: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(summary.items())) or "no runs"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value) or "none"
    if isinstance(value, dict):
        return " ".join(str(item) for item in value.values())
    return "unknown" if value is None else str(value)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*map(escape, headings), box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    piped = not sys.stdout.isatty()
    Console(width=_PIPED_WIDTH if piped else None).print(table)


def _stderr() -> Console:
    return Console(stderr=True)
