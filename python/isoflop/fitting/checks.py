"""Whether the design of the runs determines the law at all, before anything is minimised."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.constraints import Constraints
from isoflop.fitting.data import FitData
from isoflop.fitting.problem import Problem
from isoflop.fitting.starts import scattered
from isoflop.laws.law import Law

_MEANING = {"N": "model size", "D": "number of tokens", "C": "compute budget"}

_COLLINEAR = 1e-2
"""ln D must leave the line in ln N by more than this (1 %: rounding to whole batches stays below)."""

_TRIALS = 64
_SINGULAR = 1e-12
_MOVED = 1e-2
_DISTINCT = 512


def require_enough_runs(law: Law, data: FitData, constraints: Constraints) -> None:
    """Refuse fewer runs than free parameters + 1.

    Raises:
        FitError: such data.
    """
    free = len(law.names) - len(constraints.fix) - sum(len(group) - 1 for group in constraints.tie)
    n = data.n_runs if data.weights is None else int(np.count_nonzero(data.weights))
    if n < free + 1:
        left_out = f"; {len(data.excluded)} were left out, {data.excluded[0]}" if data.excluded else ""
        raise FitError(
            f"{law.name} has {free} {'free ' if constraints.names else ''}parameters and needs at least {free + 1}"
            f" runs; got {n}{left_out}",
            hint=f"add {free + 1 - n} runs, or fit a law with fewer parameters",
        )


def require_identifiable(problem: Problem) -> None:
    """Refuse a design that cannot determine the parameters that are free, whatever the losses.

    That is one over which the Jacobian lacks rank wherever the parameters are, and, for laws of N and D without
    restrictions, one in which N and D vary along a line: powers of both are then told apart by their form alone.
    Parameters that no runs whatever tell apart are the law's own fault: the fit names them among its doubts.

    Raises:
        NotIdentifiable: such a design; the message names the parameters, the hint the runs that would help.
    """
    law = problem.law
    used = problem.w > 0
    columns = {name: problem.data.columns[name][used] for name in law.inputs}
    lost = _lost(problem)
    fewest = fewest_values(law)
    alone = [name for name in ("N", "D") if name in columns and not problem.coordinates.restricted]
    for name, values in columns.items():
        # a million runs are not sorted to see that they differ
        some = np.unique(values[:_DISTINCT])
        distinct = some if some.size >= fewest else np.unique(values)
        if distinct.size < fewest and (lost or (name in alone and distinct.size < 2)):
            shown = ", ".join(f"{value:g}" for value in distinct)
            raise NotIdentifiable(
                f"{law.name}: the runs have {distinct.size} distinct {_MEANING.get(name, 'value')}"
                f"{'s' if distinct.size > 1 else ''}{'' if name in _MEANING else f' of {name}'} ({name} = {shown}); "
                f"{_named(law, name)} cannot be separated with fewer than {fewest}",
                hint=f"add runs at {fewest - distinct.size} or more other values of {name}"
                f"{_such_as(law, columns, name, fewest - distinct.size)}, or fix a parameter",
            )
    if len(alone) == 2:
        _require_spread(law, np.log(columns["N"]), np.log(columns["D"]))
    if lost and lost != _lost(_elsewhere(problem)):
        raise NotIdentifiable(
            f"{law.name}: {_listed(lost)} cannot be separated: over these runs they change the {law.output} alike",
            hint=f"add runs that vary {_listed(law.inputs)} apart from each other, or fix one of them",
        )


def _such_as(law: Law, columns: Mapping[str, NDArray[np.float64]], name: str, count: int) -> str:
    """So many runs with other values of an input, the others as in the middle run; nothing of one that may be negative.

    An input that is nowhere above another, such as unique tokens below tokens, stays below it.
    """
    if name in law.signed:
        return ""
    values = columns[name]
    middle = int(np.argsort(values, kind="stable")[values.size // 2])
    run = {other: float(column[middle]) for other, column in columns.items() if other != name}
    most = min((run[k] for k in run if (values <= columns[k]).all()), default=np.inf)
    least = max((run[k] for k in run if (values >= columns[k]).all()), default=0.0)
    low, high = float(values.min()), float(values.max())
    tried = (made for k in range(1, 8) for made in (high * 4.0**k, low / 4.0**k) if least <= made <= most)
    wanted = " and ".join(f"{name} = {made:.3g}" for made in itertools.islice(tried, count))
    beside = f"{', '.join(f'{other} = {value:.3g}' for other, value in run.items())} with " if run else ""
    return f", such as {beside}{wanted}" if wanted else ""


def _lost(problem: Problem) -> tuple[str, ...]:
    """Parameters that no point of the parameters' range tells apart over the runs; none where one point does."""
    used = problem.w > 0
    few = _rows(problem, used)
    trials, _ = scattered(few, _TRIALS)
    lost: tuple[str, ...] = ()
    fewest = trials.shape[1] + 1
    for v in trials:
        with np.errstate(all="ignore"):  # points where the law is 0 or no number tell nothing
            f, j = few.block(few.coordinates.expand(v))
            columns = (few.coordinates.spread.T @ j / f).T
            length = np.linalg.norm(columns, axis=0)
        if not (np.isfinite(columns).all() and length.all()):
            continue
        _, singular, right = np.linalg.svd(columns / length, full_matrices=len(columns) < columns.shape[1])
        missing = int(np.count_nonzero(singular <= _SINGULAR * singular[0])) + max(0, right.shape[0] - singular.size)
        if missing == 0:
            return ()
        if missing < fewest:
            fewest = missing
            moved = np.abs(right[-missing:]).max(axis=0) > _MOVED
            lost = tuple(name for m in np.flatnonzero(moved) for name in problem.names_of(int(m)))
    return lost


def _elsewhere(problem: Problem) -> Problem:
    """The problem over runs whose inputs all vary apart, a factor of e^2 to both sides of the runs there are."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(np.flatnonzero(problem.w > 0), _TRIALS)
    moved = rng.uniform(-2.0, 2.0, (problem.z.shape[0], _TRIALS))
    few = problem.at(chosen)
    return replace(few, z=few.z + moved, x=few.x * np.exp(moved[: len(few.x)]))  # x: all inputs or none


def _rows(problem: Problem, used: NDArray[np.bool_]) -> Problem:
    """The problem over distinct inputs of runs that weigh something, at most some hundreds of them."""
    chosen = np.flatnonzero(used)
    if chosen.size <= _DISTINCT:
        x = np.vstack([problem.z, problem.x])[:, chosen]
        return problem.at(chosen[np.unique(np.round(x, 12), axis=1, return_index=True)[1]])
    return problem.at(chosen[np.unique(np.linspace(0, chosen.size - 1, _DISTINCT).astype(np.int64))])


def fewest_values(law: Law) -> int:
    """Distinct values that each input needs: two fix a power, a floor takes one more."""
    return 3 if _floors(law) else 2


def _floors(law: Law) -> list[str]:
    return [parameter.name for parameter in law.parameters if parameter.role == "floor"]


def _named(law: Law, name: str) -> str:
    """The floor, and the parameters whose part changes with an input."""
    code, at = law.code, law.inputs.index(name)
    z = np.zeros((len(law.inputs), 2))
    z[at, 1] = 1.0
    f, j = np.empty(2), np.empty((len(law.names), 2))
    u = np.where(code.LOG, 0.1, 0.3)
    code.jacobian(u, z, np.exp(z), f, j)
    moved = [p for p, row in zip(law.names, j, strict=True) if row[0] != row[1]]
    return _listed(tuple(dict.fromkeys([*_floors(law), *moved])))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _require_spread(law: Law, log_n: np.ndarray, log_d: np.ndarray) -> None:
    slope, intercept = np.polyfit(log_n, log_d, 1)
    if np.std(log_d - slope * log_n - intercept) > _COLLINEAR:
        return
    design = "D/N is the same in all runs" if abs(slope - 1) < _COLLINEAR else f"D goes as N**{slope:.2f} in all runs"
    if abs(slope + 1) < _COLLINEAR:
        design = "N D is the same in all runs (one compute budget)"
    names = _listed(tuple(parameter.name for parameter in law.parameters if "exponent" in parameter.role))
    middle = float(np.exp(np.median(log_n)))
    tokens = float(np.exp(slope * np.log(middle) + intercept))
    raise NotIdentifiable(
        f"{law.name}: {design}, so {names} cannot be separated",
        hint=f"add runs off that line, such as N = {middle:.3g} with D = {4 * tokens:.3g} and D = {tokens / 4:.3g}",
    )
