"""The command that measures this machine, ``bench``, and the one that sets two results beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from isoflop.cli.app import AsJson, Verbs, app
from isoflop.cli.console import emit, print_table, stderr
from isoflop.errors import KernelError

bench_app = typer.Typer(
    cls=Verbs, invoke_without_command=True, epilog="Example: isoflop bench --device cuda --out bench/results"
)
app.add_typer(bench_app, name="bench")


@bench_app.callback()
def bench(
    context: typer.Context,
    device: Annotated[str, typer.Option(help="cuda (any GPU of torch's) or cpu.")] = "cuda",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer sizes, nothing compiled.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Look for faster tiles, and keep them in your own tables.")
    ] = False,
    op: Annotated[list[str] | None, typer.Option(help="With --tune: this table alone; may be repeated.")] = None,
    limit: Annotated[float, typer.Option(help="Seconds; what does not fit is skipped and named.")] = 480.0,
    chip: Annotated[str | None, typer.Option(help="The published device of the rooflines: h100-sxm.")] = None,
    out: Annotated[Path, typer.Option(help="Where JSON and a page are written.")] = Path("bench/results"),
    as_json: AsJson = False,
) -> None:
    """Kernels on this machine: are they right, how fast is each, how fast is a training step.

    On a CPU ops in C++ and the definitions in plain torch run: Triton kernels need a GPU.
    """
    if context.invoked_subcommand is not None:
        return
    from isoflop.benchmark import bench as run
    from isoflop.benchmark import write
    from isoflop.benchmark.tables import facts, tables

    if op and not tune:
        raise KernelError("--op names a table of tiles to tune", hint="isoflop bench --tune --op norm")
    if tune:
        _tune(device, op, limit, as_json)
        return
    with _progress() as say:
        made = run(device, quick=quick, limit=limit, chip=chip, say=say)
    paths = write(made, out)
    if as_json:
        emit(made.to_dict(), as_json)
    else:
        print_table(("", ""), facts(made))
        for table in tables(made):
            print(table.caption)
            print_table(table.headings, table.rows)
    for path in paths:
        stderr().print(f"written: {path}", highlight=False, soft_wrap=True)
    wrong = [f"{each.op} in {each.dtype}" for each in made.verdicts if not each.passed]
    if wrong:
        raise KernelError(f"wrong on {made.device}: {', '.join(wrong)}", hint="the table of correctness says where")


@bench_app.command(epilog="Example: isoflop bench compare before.json after.json")
def compare(
    first: Annotated[Path, typer.Argument(help="A JSON file that isoflop bench wrote.", metavar="FIRST")],
    second: Annotated[Path, typer.Argument(help="Another.", metavar="SECOND")],
    every: Annotated[bool, typer.Option("--all", help="Every measure, not the mean of each op.")] = False,
    as_json: AsJson = False,
) -> None:
    """How many times as fast the second result is, op by op, as far as both measured the same."""
    from isoflop.benchmark.compared import compare_results

    made = compare_results(first, second)
    if as_json:
        emit(made.to_dict(), as_json)
        return
    print(f"first: {made.first}\nsecond: {made.second}")
    for difference in made.differs:
        print(f"not the same: {difference}")
    if every:
        apart = {None: "", True: "yes", False: "no"}
        rows = [
            (each.kind, each.name, each.at, f"{each.first:.3g}", f"{each.second:.3g}", f"{each.ratio:.2f}x",
             apart[each.apart]) for each in made.lines
        ]  # fmt: skip
        print_table(("", "what", "at", "first", "second", "second is faster by", "quartiles apart"), rows)
    else:
        means = [
            (each.kind, each.name, f"{each.lines}", f"{each.mean:.2f}x", f"{each.least:.2f}x", f"{each.greatest:.2f}x")
            for each in made.groups()
        ]
        print_table(("", "what", "measures", "second is faster by", "at least", "at most"), means)
    print(f"measured in one of both alone: {made.only_first} by the first, {made.only_second} by the second")


def _tune(device: str, op: list[str] | None, limit: float, as_json: bool) -> None:
    from isoflop.benchmark import tune as find
    from isoflop.benchmark.tables import skipped_table, tuning_table

    with _progress() as say:
        made = find(op, kind=device, limit=limit, say=say)
    if as_json:
        emit(made.to_dict(), as_json)
        return
    for table in (tuning_table(made), skipped_table(made.skipped)):
        if table.rows:
            print(table.caption)
            print_table(table.headings, table.rows)
    print("\n".join(f"written: {path}" for path in made.written) or "no tile is faster than the present ones")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    console = stderr()
    if not console.is_terminal:  # a log: one line each
        yield lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    with console.status("") as status:
        yield lambda text: status.update(text)
