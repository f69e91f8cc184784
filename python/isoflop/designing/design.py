"""``design``: the next runs, those that make a target surest for their FLOPs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.designing.beliefs import DOUBT, Beliefs, believe
from isoflop.designing.candidates import Candidates, Space, from_space, from_table
from isoflop.designing.choose import Problem, choose
from isoflop.designing.designed import ChosenRun, Design
from isoflop.designing.expected import expect, pose
from isoflop.designing.inputs import Columns
from isoflop.designing.machine import Machine
from isoflop.designing.misfit import MISFIT
from isoflop.designing.target import Asked, Target, read_targets
from isoflop.errors import PlanError
from isoflop.fitting.fitted import Fit
from isoflop.laws.law import Law
from isoflop.laws.presets import Preset
from isoflop.planning.compute import parse_compute

Array = NDArray[np.float64]

NOISE = 0.01
"""Of a run's ln loss about its law where neither runs nor anyone say it: see docs/design.md for what was measured."""

_FAR = 2.0
"""Decades of compute beyond the largest run from which a target is said to be far."""


def design(
    law: str | Fit | Preset | Law,
    budget: str | float,
    target: Asked | Sequence[Asked],
    *,
    start: Mapping[str, float] | None = None,
    space: Space | None = None,
    candidates: Mapping[str, ArrayLike] | None = None,
    noise: float | None = None,
    runs: int = 24,
    replicates: int = 3,
    machine: Machine | None = None,
    misfit: float = MISFIT,
    doubt: float = DOUBT,
    draws: int = 32,
    seed: int = 0,
    level: float = 0.95,
) -> Design:
    """The runs that leave a target the surest, within a budget of FLOPs.

    Args:
        law: a fit to the runs so far; or, before there are any, a published set, or a law with ``start``.
        budget: of all runs together, as :func:`isoflop.plan` takes it.
        target: what is to be known: "L_opt(1e23)", "N_opt(1e23)", "D_opt(1e23)" at the compute optimum of a budget;
            "L(N=7e9, D=1.4e12)" of one model; "a" or "b", the exponents of N and D in C; a parameter; "parameters", all
            of them; a function of the parameters by name; or a list of these, which count alike.
        start: constants to begin with, of a law that has none.
        space: where runs are looked for.
        candidates: columns N, D and whatever else the law sees, to choose rows of instead.
        noise: standard deviation of a run's ln loss about the law; of the fit's residuals unless given.
        runs: how many at most.
        replicates: how often one run may be made, each time with another seed.
        misfit: how wrong the law itself may be, relatively to the loss: see :mod:`isoflop.designing.misfit`; 0 takes it
            at its word.
        machine: slots, stacks and the overhead of steps.
        doubt: how far from the presumed constants the true ones may be, relatively: see
            :func:`isoflop.designing.beliefs.believe`.
        draws: of the constants, over which the choice is made.
        seed: of the draws.
        level: of the intervals.

    Raises:
        PlanError: no such target, an unreadable budget, a law whose runs cannot be chosen, nothing affordable.
        LawError: no law or published set of that name.
        ShapeError: a space without shapes.
    """
    flops, machine, space = parse_compute(budget), machine or Machine(), space or Space()
    _require(noise=noise, doubt=doubt, runs=runs, replicates=replicates, draws=draws, level=level)
    if not 0 <= misfit < 1:
        raise PlanError(f"misfit is {misfit}; it is a share of the loss, from 0 to 1", hint="misfit=0.02")
    if candidates is not None and space != Space():
        raise PlanError("both a space and a table of candidates were given", hint="choose from one of them")
    most = flops / machine.slots
    about = _middle(candidates, space, most)
    known = believe(law, start, about, doubt=doubt, draws=draws, seed=seed)
    targets = read_targets(target, known.law)
    smallest = None if known.seen is None else float(known.seen["N"].min())
    given = (
        from_table({name: np.asarray(values, dtype=np.float64) for name, values in candidates.items()}, known.law, most)
        if candidates is not None
        else from_space(space, known.law, most, smallest, known.n_convention)
    )
    spread = noise or known.noise or NOISE
    problem, usable = pose(known, given, targets, spread, misfit, flops, runs, replicates, machine)
    chosen = choose(problem)
    if not chosen:
        raise PlanError(f"no candidate fits into {flops:.3g} FLOP with its steps", hint="a larger budget")
    aims = expect(known, targets, problem, chosen, level)
    return Design(
        runs=_runs(given, chosen, known.seen),
        aims=aims,
        budget=flops,
        spent=problem.costs.total(chosen),
        launches=problem.costs.launches(chosen),
        machine=machine,
        noise=spread,
        misfit=misfit,
        level=level,
        law=known.name,
        source=known.source,
        n_convention=known.n_convention,
        n_candidates=len(given.compute),
        warnings=_warnings(known, given, targets, problem, chosen, noise, doubt, usable),
    )


def _require(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise PlanError(f"{name} is {value}; it must be positive and finite")
    if not (given["level"] or 0) < 1:
        raise PlanError(f"level must lie between 0 and 1, got {given['level']}", hint="level=0.95")


def _middle(candidates: Mapping[str, ArrayLike] | None, space: Space, most: float) -> Columns:
    """Columns about which presumed constants are doubted: the candidates, or the middle of the affordable."""
    if candidates is not None and {"N", "D"} <= set(candidates):
        n, d = (np.atleast_1d(np.asarray(candidates[name], dtype=np.float64)) for name in ("N", "D"))
    else:
        ratio = math.sqrt(math.prod(space.tokens_per_param))
        n = np.array([math.sqrt(most / 1e2 / (6 * ratio))])
        d = n * ratio
    batch = np.full_like(n, math.exp(np.log(space.batches).mean()) if space.batches else 1.0)
    return {"N": n, "D": d, "B": batch, "C": 6 * n * d, "M": d / n, "S": d / batch}


def _runs(given: Candidates, chosen: list[int], seen: Columns | None) -> tuple[ChosenRun, ...]:
    """The chosen runs, each once with all of its seeds, of which those so far are not used again."""
    runs = []
    for k in dict.fromkeys(chosen):
        n, d = float(given.columns["N"][k]), float(given.columns["D"][k])
        made = 0
        if seen is not None:
            made = int(np.count_nonzero(np.isclose(seen["N"], n) & np.isclose(seen["D"], d, rtol=1e-2)))
        runs.append(
            ChosenRun(
                candidate=k,
                n_params=n,
                n_tokens=d,
                batch_tokens=float(given.columns["B"][k]) if "B" in given.columns else None,
                flops=float(given.compute[k]),
                seeds=tuple(range(made, made + chosen.count(k))),
                shape=given.shapes[k] if given.shapes else None,
            )
        )
    return tuple(runs)


def _warnings(
    known: Beliefs,
    given: Candidates,
    targets: tuple[Target, ...],
    problem: Problem,
    chosen: list[int],
    noise: float | None,
    doubt: float,
    usable: int,
) -> tuple[str, ...]:
    found = []
    largest = float(given.compute[chosen].max())
    if known.seen is not None:
        largest = max(largest, float(known.seen["C"].max()))
    for target in targets:
        far = math.log10(target.compute / largest) if target.compute else 0.0
        if far >= _FAR:
            found.append(
                f"{target.name} lies {far:.1f} decades of compute beyond the largest run: its interval holds only if "
                "the law does"
            )
    if known.seen is None:
        found.append(f"no runs yet: chosen for {known.name}, its constants doubted by {doubt:.0%}")
    if noise is None and known.noise is None:
        found.append(f"nobody said how noisy runs are: {NOISE:.0%} of the loss was taken (noise=)")
    left = 1 - problem.costs.total(chosen) / problem.budget
    if left > 0.1:
        why = f"all {problem.runs} runs are used" if len(chosen) == problem.runs else "no further run adds anything"
        found.append(f"{left:.0%} of the budget is left: {why}")
    if usable < len(known.draws):
        found.append(f"{len(known.draws) - usable} of {len(known.draws)} draws of the constants have no such target")
    return tuple(found)
