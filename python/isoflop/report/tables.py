"""The rows people read, for the page and for the terminal: laws, runs, and what to know about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isoflop.report.analysis import Analysis, FittedLaw
from isoflop.report.findings import Finding
from isoflop.runs import RunStore

LAW_HEADINGS = ("law", "runs", "parameters [interval]", "residual", "held out")
FINDING_HEADINGS = ("purpose", "runs", "values [interval]", "what was fitted")
RUN_HEADINGS = ("run", "state", "N", "D", "C", "held-out loss", "seconds")


def law_row(law: FittedLaw) -> Sequence[str]:
    """One law: its runs, a parameter a line with its interval, rms residual of log loss, error on held-out runs."""
    fit = law.fit
    parameters = []
    for name, value in fit.params.items():
        low, high = fit.interval(name)
        parameters.append(f"{name} = {value:.3g} [{low:.3g}, {high:.3g}]")
    check = "-" if law.holdout is None else f"{law.holdout.mean_absolute_relative_error:.1%} by {law.holdout.by}"
    return fit.law.name, f"{fit.n_runs} {law.runs}", "\n".join(parameters), f"{fit.residual_rms:.1%}", check


def finding_row(finding: Finding) -> Sequence[str]:
    """One purpose: its runs, a value a line with its interval, and the equation."""
    values = [f"{name} = {value:.3g} [{low:.3g}, {high:.3g}]" for name, (value, low, high) in finding.values.items()]
    return finding.purpose, str(finding.n_runs), "\n".join(values), finding.equation


def run_rows(store: RunStore, where: object = None) -> Iterator[Sequence[str]]:
    """One run a row, by size and then tokens; ``where`` picks runs as :meth:`isoflop.RunStore.points` does."""
    chosen = None if where is None else set(store.table(where)["id"].to_pylist())
    runs = (run for run in store if chosen is None or run.id in chosen)
    for run in sorted(runs, key=lambda run: (run.counts.get("N", 0), run.counts.get("D", 0))):
        counts = (f"{run.counts[name]:.3g}" if name in run.counts else "-" for name in ("N", "D", "C"))
        loss = "-"
        if run.result is not None:
            error = run.result.get("loss_se")
            loss = f"{run.result['loss']:.4f}" + ("" if error is None else f" ± {error:.4f}")
        yield run.id, store.state(run), *counts, loss, "-" if run.seconds is None else f"{run.seconds:.1f}"


def notes(analysis: Analysis) -> Iterator[str]:
    """What a reader of the table must know: runs left out, laws not fitted, what the fits warn of.

    What the plan warns of too is left to it.
    """
    planned = analysis.best.fit
    yield from (f"left out: {excluded}" for excluded in analysis.data.excluded)
    yield from (f"{law} was not fitted: {why}" for law, why in analysis.skipped.items())
    for law in analysis.laws:
        said = analysis.plan.warnings if law.fit is planned else ()
        yield from (f"{law.fit.law.name}: {note}" for note in law.fit.notes if note not in said)
        if law.unchecked:
            yield f"{law.fit.law.name} was not checked on held-out runs: {law.unchecked}"
