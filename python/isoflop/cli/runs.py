"""Commands over run stores: ``runs ls``, ``show``, ``sql``, and those that keep stores: ``compact``, ``verify``..."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.app import AsJson, StorePath, Verbs, app
from isoflop.cli.console import emit, plain, print_table, states
from isoflop.errors import SpecError

if TYPE_CHECKING:
    from isoflop.runs.exchange import Exchange

runs_app = typer.Typer(cls=Verbs, help="What a run store holds.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")

Where = Annotated[str | None, typer.Option(help='Which runs: "N >= 1e6 and spec.seed in [0, 1]".')]
Run = Annotated[str, typer.Argument(help="The id of a run, or the start of it.")]


class End(StrEnum):
    """What can be said of a run from outside."""

    killed = "killed"
    superseded = "superseded"


@runs_app.command("ls", epilog="Example: isoflop runs ls runs/quickstart --where 'N >= 1e4'")
def runs_ls(store: StorePath, where: Where = None, as_json: AsJson = False) -> None:
    """Every run of a store, or some, with its state."""
    from isoflop.report.tables import RUN_HEADINGS, run_rows
    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    if as_json:
        emit(opened.table(where).to_pylist(), as_json)
        return
    rows = list(run_rows(opened, where))
    print_table(RUN_HEADINGS, rows)
    print(states(Counter(state for _, state, *_ in rows)))


@runs_app.command("show", epilog="Example: isoflop runs show runs/quickstart 3f2a")
def runs_show(store: StorePath, run: Run) -> None:
    """The whole record of one run, as JSON."""
    import msgspec

    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    record = opened.find(run)
    emit({**msgspec.to_builtins(record), "state": opened.state(record)}, as_json=True)


@runs_app.command("watch", epilog="Example: isoflop runs watch runs/quickstart")
def runs_watch(
    store: StorePath,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, print, and end.")] = False,
    peak: Annotated[float | None, typer.Option(help="FLOP/s that one run has to itself, for the MFU.")] = None,
    device: Annotated[str | None, typer.Option(help="The GPU that one run has to itself, for the same.")] = None,
    as_json: AsJson = False,
) -> None:
    """The runs that are under way: state, loss, tokens a second, MFU, time left; live on a terminal.

    It ends when nothing is under way. Whoever makes the runs is stopped where it runs: an interrupt loses nothing.
    """
    from isoflop.cli.watching import show, watch_live
    from isoflop.hardware import device as published
    from isoflop.runs import RunStore
    from isoflop.sweep.watch import Watch

    watched = Watch(RunStore(store, create=False), published(device).peak("bf16") if device else peak)
    if once or as_json or not sys.stdout.isatty():
        look = watched.look()
        if any(run.state == "running" for run in look.doing):
            time.sleep(every)
            look = watched.look()
        show(look, as_json)
    else:
        watch_live(watched, every)


@runs_app.command("compact", epilog="Example: isoflop runs compact runs/quickstart")
def runs_compact(store: StorePath, as_json: AsJson = False) -> None:
    """Move ended runs into a few sorted Parquet files, which every command reads as it read their folders."""
    from isoflop.runs import RunStore

    done = RunStore(store, create=False).compact()
    if as_json:
        emit(asdict(done), as_json)
        return
    for problem in done.damaged:
        print(f"note: {problem}")
    print(
        f"{store}: {done.runs} runs and {done.points} points compacted; {done.left} runs left as they are; "
        f"{done.files} files of {done.bytes / 1e6:.2f} MB"
    )


@runs_app.command("sql", epilog="Example: isoflop runs sql runs/quickstart 'select id, loss from runs order by loss'")
def runs_sql(
    store: StorePath,
    query: Annotated[str, typer.Argument(help="Over the tables runs and points.")],
    as_json: AsJson = False,
) -> None:
    """The answer to a query in SQL."""
    from isoflop.runs import RunStore

    answer = RunStore(store, create=False).sql(query)
    if as_json:
        emit(answer.to_pylist(), as_json)
        return
    print_table(answer.column_names, ([plain(value) for value in row.values()] for row in answer.to_pylist()))


@runs_app.command("verify", epilog="Example: isoflop runs verify runs/quickstart --mend")
def runs_verify(
    store: StorePath,
    mend: Annotated[bool, typer.Option("--mend", help="Do what is said to mend each problem.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read all of a store and name what is wrong and what would mend it; 1 is returned if something stays wrong."""
    from isoflop.runs import RunStore, verify

    problems = verify(RunStore(store, create=False), mend=mend)
    if as_json:
        emit([asdict(problem) for problem in problems], as_json)
    else:
        for problem in problems:
            print(f"{problem.file}: {problem.what}; {'mended' if problem.mended else problem.cure}")
        print(f"{store}: {len(problems)} problems" if problems else f"{store}: nothing is wrong")
    if not all(problem.mended for problem in problems):
        raise typer.Exit(1)


@runs_app.command("gc", epilog="Example: isoflop runs gc runs/quickstart --cache")
def runs_gc(
    store: StorePath,
    cache: Annotated[bool, typer.Option("--cache", help="Remove prepared corpora too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove files that nothing needs: replaced by a compaction, or left half-written by a kill."""
    from isoflop.runs import RunStore, gc

    freed = gc(RunStore(store, create=False), cache=cache)
    emit({"freed": freed} if as_json else f"{store}: {freed / 1e6:.2f} MB freed", as_json)


@runs_app.command("mark", epilog="Example: isoflop runs mark runs/quickstart 3f2a superseded --why 'wrong tokenizer'")
def runs_mark(
    store: StorePath,
    run: Run,
    end: Annotated[End, typer.Argument(help="What became of it.")],
    why: Annotated[str, typer.Option(help="Stands in its record.")],
) -> None:
    """Say that a run was killed or is superseded: it stays, out of fits, and is not made again."""
    from isoflop.runs import RunStore, mark

    print(f"run {mark(RunStore(store, create=False), run, end.value, why).id} is {end}")


@runs_app.command("merge", epilog="Example: isoflop runs merge runs/all runs/mine --where 'N >= 1e6'")
def runs_merge(
    store: StorePath,
    other: Annotated[str, typer.Argument(help="The store whose runs are brought.", metavar="OTHER")],
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Bring the runs of another store that a store lacks; it is made if there is none."""
    from isoflop.runs import RunStore, merge

    _exchanged(store, merge(RunStore(store), RunStore(other, create=False), where), as_json)


@runs_app.command("export", epilog="Example: isoflop runs export runs/quickstart runs.zip --where 'N >= 1e4'")
def runs_export(
    store: StorePath,
    target: Annotated[str, typer.Argument(help="A .zip file, or the folder or URL of a new store.", metavar="TARGET")],
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Write the ended runs of a store as one file, or as a new compacted store."""
    from isoflop.runs import RunStore, export

    _exchanged(target, export(RunStore(store, create=False), target, where), as_json)


@runs_app.command(
    "import",
    epilog="Example: isoflop runs import runs/all points.csv --map N=params --map D=tokens --map loss=loss "
    "--n-convention total --loss-unit nats/token",
)
def runs_import(
    store: StorePath,
    source: Annotated[
        str,
        typer.Argument(
            help="A .zip of isoflop runs export; .csv, .parquet, .jsonl, trainer_state.json, .wandb, TensorBoard's "
            "folder, or MLflow's tracking URI.",
            metavar="SOURCE",
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="A number of the runs and its column: 'N=params', 'D=C / (6 * N)', 'spec.lr=lr'."),
    ] = None,
    loss_unit: Annotated[
        str | None, typer.Option(help="Of the losses: nats/token, bits/token, nats/byte or bits/byte.")
    ] = None,
    bytes_per_token: Annotated[float | None, typer.Option(help="Of the held-out text, for losses of a byte.")] = None,
    n_convention: Annotated[
        str | None, typer.Option(help="Which parameters N counts: non-embedding, or total.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="What SOURCE is, where its name does not show it.")] = None,
    name: Annotated[str | None, typer.Option(help="What the runs call their source; its file's name.")] = None,
    where: Annotated[str | None, typer.Option(help="Which rows of a file: \"dataset == 'c4' and lr < 0.1\".")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring runs that a store lacks, of an export or of another program; the store is made if there is none."""
    from isoflop.runs import RunStore

    said: dict[str, Any] = {
        "loss_unit": loss_unit,
        "bytes_per_token": bytes_per_token,
        "n_convention": n_convention,
        "format": format,
        "name": name,
        "where": where,
    }
    if source.endswith(".zip"):
        from isoflop.runs import import_archive

        if columns or any(said.values()):
            raise SpecError(f"{source} is an export of a run store, whose runs come as they are", hint="no options")
        _exchanged(store, import_archive(RunStore(store), Path(source)), as_json)
        return
    from isoflop.importers import import_runs

    _exchanged(store, import_runs(RunStore(store), source, dict(map(_pair, columns or ())), **said), as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name.strip() and equals and column.strip()):
        raise SpecError(f"cannot read --map {text!r}", hint="a name and its column, such as 'N=Model Size'")
    return name.strip(), column.strip()


def _exchanged(where: str, done: Exchange, as_json: bool) -> None:
    if as_json:
        emit(asdict(done), as_json)
        return
    for problem in done.problems:
        print(f"note: {problem}")
    print(f"{where}: {done.runs} runs and {done.points} points came; {done.known} were there already")


@runs_app.command("deliver", epilog="Example: isoflop runs deliver runs/quickstart")
def runs_deliver(store: StorePath, as_json: AsJson = False) -> None:
    """Bring what recorders on this machine kept while the store was away or full; 1 is returned if some cannot come."""
    from isoflop.runs import RunStore, deliver

    done = deliver(RunStore(store, create=False))
    if as_json:
        emit(asdict(done), as_json)
    else:
        for problem in done.problems:
            print(f"note: {problem}")
        print(f"{store}: {len(done.runs)} runs delivered; {len(done.waiting)} are being written")
    if done.problems:
        raise typer.Exit(1)
