"""Whether the design of the runs determines the law at all, before anything is minimised."""

from __future__ import annotations

import numpy as np

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.data import FitData
from isoflop.laws.law import Law

_MEANING = {"N": "model size", "D": "number of tokens", "C": "compute budget"}

_COLLINEAR = 1e-2
"""ln D must leave the line in ln N by more than this (1 %: rounding to whole batches stays below)."""


def require_identifiable(law: Law, data: FitData) -> None:
    """Refuse data that cannot determine the law's parameters.

    Raises:
        FitError: fewer runs than parameters + 1.
        NotIdentifiable: too few distinct values of an input, or N and D vary together along one line.
    """
    needed = len(law.parameters) + 1
    if data.n_runs < needed:
        raise FitError(
            f"{law.name} has {len(law.parameters)} parameters and needs at least {needed} runs; got {data.n_runs}",
            hint=f"add {needed - data.n_runs} runs, or fit a law with fewer parameters",
        )
    fewest = fewest_values(law)
    for term in law.form.terms:
        values = np.unique(data.columns[term.input])
        if values.size < fewest:
            shown = ", ".join(f"{value:g}" for value in values)
            tied = f"{law.form.floor}, " if law.form.floor else ""
            raise NotIdentifiable(
                f"{law.name}: the runs have {values.size} distinct {_MEANING[term.input]}"
                f"{'s' if values.size > 1 else ''} ({term.input} = {shown}); "
                f"{tied}{term.coefficient} and {term.exponent} cannot be separated with fewer than {fewest}",
                hint=f"add runs at {fewest - values.size} or more other values of {term.input}",
            )
    if set(law.inputs) == {"N", "D"}:
        _require_spread(law, np.log(data.columns["N"]), np.log(data.columns["D"]))


def fewest_values(law: Law) -> int:
    """Distinct values that each input needs: two fix a power, a floor takes one more."""
    return 3 if law.form.floor else 2


def _require_spread(law: Law, log_n: np.ndarray, log_d: np.ndarray) -> None:
    slope, intercept = np.polyfit(log_n, log_d, 1)
    if np.std(log_d - slope * log_n - intercept) > _COLLINEAR:
        return
    design = "D/N is the same in all runs" if abs(slope - 1) < _COLLINEAR else f"D goes as N**{slope:.2f} in all runs"
    if abs(slope + 1) < _COLLINEAR:
        design = "N D is the same in all runs (one compute budget)"
    names = " and ".join(term.exponent for term in law.form.terms)
    middle = float(np.exp(np.median(log_n)))
    tokens = float(np.exp(slope * np.log(middle) + intercept))
    raise NotIdentifiable(
        f"{law.name}: {design}, so {names} cannot be separated",
        hint=f"add runs off that line, such as N = {middle:.3g} with D = {4 * tokens:.3g} and D = {tokens / 4:.3g}",
    )
