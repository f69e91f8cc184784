"""The command that fits: one law or several, to a run store or a file of runs, with what there is to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.answers import show_analysis
from isoflop.cli.app import AsJson, Level, NConvention, WhichN, app
from isoflop.cli.console import emit
from isoflop.errors import FitError

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit
    from isoflop.fitting.holdout import Holdout
    from isoflop.fitting.published import PublishedTest
    from isoflop.fitting.rollout import Rollout

Runs = Annotated[str, typer.Argument(help="A run store, or a .csv, .jsonl or .parquet of runs.", metavar="RUNS")]


@app.command(epilog="Example: isoflop fit runs/quickstart --law chinchilla --objective huber:1e-3 --holdout N")
def fit(
    runs: Runs,
    law: Annotated[
        list[str] | None,
        typer.Option(help="A law by name or as 'L = E + A/N**alpha'; several are compared."),
    ] = None,
    objective: Annotated[
        str, typer.Option(help="least-squares, huber:1e-3, lad or quantile:0.1; with :raw not of logarithms.")
    ] = "least-squares",
    column: Annotated[list[str] | None, typer.Option(help="A column of a file by its name in laws: L=loss.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Fit these columns, one after another.")] = None,
    fix: Annotated[list[str] | None, typer.Option(help="A parameter that keeps a value: E=1.7.")] = None,
    bound: Annotated[list[str] | None, typer.Option(help="An interval of a parameter: E=0:2.")] = None,
    tie: Annotated[list[str] | None, typer.Option(help="Parameters that are one: alpha=beta.")] = None,
    weights: Annotated[str | None, typer.Option(help="The column that says how much each run counts.")] = None,
    group: Annotated[str | None, typer.Option(help="Only the runs of this group of a study of the store.")] = None,
    n_convention: WhichN = NConvention.nonembedding,
    sigma: Annotated[str | None, typer.Option(help="The column with the known noise of each run.")] = None,
    holdout: Annotated[str | None, typer.Option(help="Hold out the runs of the largest N, D or C.")] = None,
    rollout: Annotated[str | None, typer.Option(help="Fit up to each N, D or C in turn, predict the next.")] = None,
    test: Annotated[list[str] | None, typer.Option(help="A published set to test against the runs.")] = None,
    compute: Annotated[
        str | None,
        typer.Option(help="With all laws: the budget to plan for; default some ten times the largest run's."),
    ] = None,
    level: Level = 0.95,
    save: Annotated[
        Path | None, typer.Option(help="With one law: write the fit as JSON, for isoflop plan --fit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit scaling laws to runs, with intervals and a check on the largest runs held out.

    Without --law: every law that the runs of a store determine, or chinchilla to a file.
    """
    from isoflop.fitting.objective import parse_objective

    options: dict[str, Any] = {
        "objective": parse_objective(objective),
        "fix": dict(_split(text, _number) for text in fix or ()),
        "bounds": dict(_split(text, _interval) for text in bound or ()),
        "tie": [text.split("=") for text in tie or ()],
        "weights": weights,
        "sigma": sigma,
        "level": level,
    }
    data = read_runs(runs, column or (), group=group, n_convention=n_convention)
    if law is None and group is None and not _is_file(runs):
        from isoflop.report.analysis import analyse

        _only_with_one_law(options, target, rollout, test, save)
        show_analysis(analyse(data, compute=compute, level=level), as_json)
        return
    laws = [_law(name) for name in law or ["chinchilla"]]
    if len(laws) > 1:
        from isoflop.fitting.compare import compare

        _only_with_one_law({**options, "objective": None}, target, rollout, test, save)
        compared = compare(laws, data, by=holdout, objective=options["objective"])
        emit(compared.to_dict() if as_json else str(compared), as_json)
        return
    if target:
        if not _is_file(runs):
            raise FitError(
                f"--target names columns of a file; the run store {runs} holds the loss alone",
                hint="isoflop fit points.csv --law NAME --target loss --target accuracy",
            )
        from isoflop.fitting.targets import fit_all

        fits = fit_all(laws[0], data, targets=target, **options)
        emit(fits.to_dict() if as_json else str(fits), as_json)
        return
    from isoflop.fitting import fit as fit_law

    fitted = fit_law(laws[0], data, **options)
    held = None if holdout is None else fitted.holdout(holdout)
    rolled = None if rollout is None else fitted.rollout(rollout)
    tests = [fitted.test(name) for name in test or ()]
    if save is not None:
        fitted.save(save)
    _show(fitted, held, rolled, tests, as_json)


def _show(fitted: Fit, held: Holdout | None, rolled: Rollout | None, tests: list[PublishedTest], as_json: bool) -> None:
    if as_json:
        checks = {
            "holdout": None if held is None else held.to_dict(),
            "rollout": None if rolled is None else rolled.to_dict(),
            "tests": [outcome.to_dict() for outcome in tests],
        }
        emit({**fitted.to_dict(), **{name: check for name, check in checks.items() if check}}, as_json)
        return
    print(fitted)
    if held is not None and held.by != fitted.law.inputs[0]:
        print(held)
    for more in (rolled, *tests):
        if more is not None:
            print(f"\n{more}")


def read_runs(
    runs: str,
    column: Sequence[str] = (),
    *,
    group: str | None = None,
    n_convention: NConvention = NConvention.nonembedding,
) -> Any:
    """The runs of a file, its columns renamed by NAME=COLUMN, or of a store."""
    columns = dict(_split(text, str) for text in column)
    if _is_file(runs):
        from isoflop.fitting.files import read_file

        if group is not None:
            raise FitError("--group names runs of a store, not of a file", hint="leave it out")
        if n_convention is NConvention.total:
            raise FitError("--n-convention is of a store; a file has one column N", hint="--column N=NAME takes it")
        return read_file(Path(runs), columns)
    if columns:
        raise FitError("--column names columns of a file; a run store has N, D, C and L", hint="leave it out")
    from isoflop.runs import RunStore
    from isoflop.runs.studies import runs_of_group

    store = RunStore(runs, create=False).counting(n_convention.value)
    return store if group is None else store.fit_data(runs_of_group(store, group))


def _is_file(runs: str) -> bool:
    from isoflop.fitting.files import READERS

    return Path(runs).is_file() or Path(runs).suffix.lower() in READERS


def _law(text: str) -> Any:
    from isoflop.laws import Law, get_law

    return Law(text) if "=" in text else get_law(text)


def _only_with_one_law(options: dict[str, Any], *given: object) -> None:
    from isoflop.fitting.objective import LeastSquares

    plain = options["objective"] in (None, LeastSquares())
    restricted = any(options[name] for name in ("fix", "bounds", "tie", "weights", "sigma"))
    if restricted or not plain or any(given):
        raise FitError(
            "these options are for one law: objective, restrictions, weights, targets, rollout, test, save",
            hint="--law NAME, once",
        )


def _split(text: str, turned: Any) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise FitError(f"cannot read {text!r}", hint="NAME=VALUE, such as E=1.7")
    return name, turned(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FitError(f"{text!r} is no number", hint="--fix E=1.7") from None


def _interval(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise FitError(f"{text!r} is no interval", hint="--bound E=0:2")
    return _number(low), _number(high)
