"""Commands that train studies: ``demo``, ``sweep``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from isoflop.cli.app import AsJson, Workers, app
from isoflop.cli.console import emit, print_table, states, stderr
from isoflop.cli.reports import answer
from isoflop.errors import IsoflopError

if TYPE_CHECKING:
    from isoflop.runs import RunStore
    from isoflop.sweep.executors import Executor
    from isoflop.sweep.study import Study
    from isoflop.train.spec import TrainSpec


@app.command(epilog="Example: isoflop demo")
def demo(
    store: Annotated[str, typer.Option(help="Where the runs go.")] = "runs/quickstart",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """A small but real scaling study, start to end: train, record, fit, plan, report: minutes on two cores."""
    from isoflop.sweep.study import read_study

    with ExitStack() as stack:
        study = read_study(stack.enter_context(as_file(files("isoflop") / "examples" / "quickstart.toml")))
    opened = _train(study, store, workers)
    answer(opened, study.plan.compute, study.plan.level, opened.path / "report", as_json)
    stderr().print(
        f"next: open the report in a browser; isoflop plan --compute BUDGET --store {store}; "
        "a study of your own: isoflop sweep STUDY.toml --dry-run",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@app.command(epilog="Example: isoflop sweep study.toml --dry-run")
def sweep(
    study: Annotated[Path, typer.Argument(help="A study file (TOML).", metavar="STUDY")],
    store: Annotated[str | None, typer.Option(help="Where the runs go; default runs/NAME.")] = None,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and train nothing.")] = False,
    executor: Annotated[str, typer.Option(help="Where runs are made: local, ray, slurm or torchrun.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; a new one here where left out.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the executor: num_gpus=0.25.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Stop after so long; nothing is lost.")] = None,
    spread: Annotated[
        str | None, typer.Option(help="Under torchrun: each run over all its processes, by ddp or fsdp.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the runs of a study that its store lacks. After a stop, give the same command: nothing done is lost."""
    from isoflop.sweep.executors import make_executor, parse_options
    from isoflop.sweep.study import read_study

    asked = read_study(study)
    where = f"runs/{asked.name}" if store is None else store
    made_by = make_executor(executor, address, parse_options(option or []))
    if dry_run:
        _dry_run(asked, where, workers, as_json)
        return
    made = _train(asked, where, workers, made_by, hours) if spread is None else _train_spread(asked, where, spread)
    if made is None:
        return
    summary = made.summary()
    emit({"store": str(where), **summary} if as_json else f"{where}: " + states(summary), as_json)
    stderr().print(f"next: isoflop report {where}", highlight=False, markup=False, soft_wrap=True)


def _train(
    study: Study, where: str, workers: int | None, executor: Executor | None = None, hours: float | None = None
) -> RunStore:
    """Make the missing runs of a study, with progress on standard error; failures are named at the end."""
    from isoflop.sweep.launcher import run_sweep
    from isoflop.sweep.progress import SweepProgress
    from isoflop.sweep.saved import saved_flops

    specs, store = _prepared(study, where)
    make: Executor = executor or run_sweep
    with SweepProgress(stderr()) as progress, _terminated_as_interrupted():
        result = make(
            specs,
            store,
            workers=workers,
            watcher=progress,
            how=study.how,
            retries=study.workers.retries,
            seconds=None if hours is None else 3600 * hours,
        )
    if result.stopped:
        left = len(specs) - result.found - len(result.states)
        stderr().print(f"stopped after {hours} hours: {left} runs are left; the same command goes on", highlight=False)
    if saved := saved_flops(specs, store):
        stderr().print(f"{saved:.3g} FLOP were saved by runs whose end was foreseen", highlight=False)
    if failed := [run for run, state in result.states.items() if state == "failed"]:
        raise IsoflopError(
            f"{len(failed)} of {len(specs)} runs failed: {result.errors[failed[0]]}",
            hint="the same command tries them again",
        )
    return store


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """While it lasts, what ends a process politely is taken for an interrupt: runs write where they stand."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _train_spread(study: Study, where: str, spread: str) -> RunStore | None:
    """Make the missing runs of a study over the processes of torchrun; None but on the one that tells of it."""
    from isoflop.errors import require

    require("torch", extra="train")
    from isoflop.sweep.spread import run_spread
    from isoflop.train.spread import first_goes_ahead, is_first, process_group

    with process_group():
        with first_goes_ahead():
            specs, store = _prepared(study, where)
        run_spread(specs, store, spread, how=study.how)
        return store if is_first() else None


def _prepared(study: Study, where: str) -> tuple[list[TrainSpec], RunStore]:
    """The runs of a study and its store, with its corpora; what cannot be run leaves no store behind."""
    from isoflop.data import copy_corpora
    from isoflop.runs import RunStore
    from isoflop.sweep.resolve import each_once, keep_study

    with TemporaryDirectory() as elsewhere:
        groups = _resolved(study, where, Path(elsewhere))
        store = RunStore(where)
        copy_corpora(Path(elsewhere), store.cache)
    keep_study(store, study, groups)
    return each_once(groups), store


def _resolved(study: Study, where: str, elsewhere: Path) -> dict[str, list[TrainSpec]]:
    """The runs of a study by group, its corpora made in the store's cache, or ``elsewhere`` where there is no store."""
    from isoflop.runs import RunStore
    from isoflop.sweep.resolve import load_corpora, resolve_groups

    store = RunStore.at(where)
    return resolve_groups(study, *load_corpora(study, elsewhere if store is None else store.cache))


def _dry_run(study: Study, where: str, workers: int | None, as_json: bool) -> None:
    from isoflop.hardware import cores
    from isoflop.runs import RunStore
    from isoflop.sweep.cost import estimate
    from isoflop.sweep.resolve import each_once

    with TemporaryDirectory() as elsewhere:
        groups = _resolved(study, where, Path(elsewhere))
    specs = each_once(groups)
    store = RunStore.at(where)
    each = study.workers
    forecast = estimate(specs, store, workers or int(cores()), watts=each.watts, price=each.price)
    if as_json:
        emit(forecast.to_dict(), as_json)
        return
    cells = (
        (name, f"{s.counts()['N']:.3g}", f"{s.tokens:.3g}", f"{s.counts()['C_exact_causal']:.3g}", str(s.n_steps))
        for name, runs in groups.items()
        for s in runs
    )
    print_table(("group", "N", "D", "FLOPs", "steps"), cells)
    emit(str(forecast), as_json)
