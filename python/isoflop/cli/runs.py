"""Commands over run stores: ``runs ls``, ``runs show``, ``runs compact``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from isoflop.cli.app import AsJson, StorePath, runs_app
from isoflop.cli.console import emit, print_table, states


@runs_app.command("ls", epilog="Example: isoflop runs ls runs/quickstart")
def runs_ls(store: StorePath, as_json: AsJson = False) -> None:
    """Every run of a store with its state."""
    from isoflop.report.tables import RUN_HEADINGS, run_rows
    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    if as_json:
        emit(opened.table().to_pylist(), as_json)
        return
    print_table(RUN_HEADINGS, run_rows(opened))
    emit(states(opened.summary()), as_json)


@runs_app.command("show", epilog="Example: isoflop runs show runs/quickstart 3f2a")
def runs_show(store: StorePath, run: Annotated[str, typer.Argument(help="The id, or the start of it.")]) -> None:
    """The whole record of one run, as JSON."""
    import msgspec

    from isoflop.runs import RunStore

    opened = RunStore(store, create=False)
    record = opened.find(run)
    emit({**msgspec.to_builtins(record), "state": opened.state(record)}, as_json=True)


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
