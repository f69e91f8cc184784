"""What the runs do not determine, found after the fit: parameters at bounds, flat profiles, untold directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.constraints import Constraints
from isoflop.fitting.covariance import Linear
from isoflop.fitting.cure import Cure, cure
from isoflop.fitting.problem import Problem
from isoflop.fitting.profile import profile
from isoflop.fitting.solve import Certificate

Array = NDArray[np.float64]

_ILL_CONDITIONED = 1e8
_SINGULAR = 1e14
_SUSPECT = np.log(2.0)
"""A standard error of a scale's logarithm, where its term is centred, from which its profile is looked at."""
_WIDE = 10.0
_PROFILED_UP_TO = 20_000
_LEVEL = 0.95


@dataclass(frozen=True)
class Doubt:
    """Something that these runs do not say.

    Attributes:
        kind: "ignored" (the runs vary what the law does not see), "floor" (none is seen), "bound" (a parameter ended
            at one), "edge" (its interval reaches one), "rivals" (starts end apart, equally likely), "flat" (the
            objective hardly changes along it), "ill-conditioned" or "singular" (parameters trade off, nearly or
            wholly).
        text: for a reader.
        parameters: that it is about.
        cure: the run that would say most about them, its inputs by name; None where no run helps.
    """

    kind: str
    text: str
    parameters: tuple[str, ...] = ()
    cure: Mapping[str, float] | None = None

    def __str__(self) -> str:
        return self.text


def find_doubts(
    problem: Problem,
    vector: Array,
    errors: Mapping[str, float],
    certificate: Certificate,
    constraints: Constraints,
) -> tuple[Doubt, ...]:
    """Everything that is in doubt about a fit, from the design down to single parameters."""
    return (
        *_ignored(problem),
        *_at_bounds(problem, vector, certificate, constraints),
        *_edges(problem, vector, errors, certificate, constraints),
        *_rivals(certificate),
        *_flat(problem, vector, constraints, sampled=certificate.points > 0),
        *_traded(problem, vector, certificate),
    )


def _ignored(problem: Problem) -> list[Doubt]:
    law, columns = problem.law, problem.data.columns
    found = []
    # a law of C or M sees both N and D at once
    for name in [n for n in columns if n not in {*law.inputs, law.output} and not {"C", "M"} & set(law.inputs)]:
        distinct = np.unique(columns[name]).size
        if distinct > 1:
            text = f"the runs have {distinct} values of {name}, which {law.name} does not see: select runs first"
            found.append(Doubt("ignored", text))
    return found


def _at_bounds(problem: Problem, vector: Array, certificate: Certificate, constraints: Constraints) -> list[Doubt]:
    values = dict(zip(problem.law.names, problem.natural(vector).tolist(), strict=True))
    described = {p.name: p for p in problem.law.parameters}
    found = []
    for name in certificate.at_bounds:
        low, high = constraints.bounds.get(name, described[name].domain)
        if described[name].role == "floor" and values[name] == 0.0:
            found.append(Doubt("floor", f"{name} is at 0: the runs do not show a floor", (name,)))
        else:
            text = f"{name} = {values[name]:.3g} is at a bound of its domain ({low:g}, {high:g})"
            found.append(Doubt("bound", text, (name,)))
    return found


def _edges(
    problem: Problem, vector: Array, errors: Mapping[str, float], certificate: Certificate, constraints: Constraints
) -> list[Doubt]:
    """Exponents whose interval reaches the end of their domain."""
    values = dict(zip(problem.law.names, problem.natural(vector).tolist(), strict=True))
    found = []
    for p in problem.law.parameters:
        low, high = constraints.bounds.get(p.name, p.domain)
        reach, value = 2 * errors[p.name], values[p.name]
        if (
            "exponent" in p.role
            and p.name not in {*certificate.at_bounds, *constraints.fix}
            and not (low < value - reach and value + reach < high)
        ):
            text = f"the interval of {p.name} reaches a bound of its domain: these runs hardly determine it"
            found.append(_with_cure(problem, vector, "edge", text, (p.name,)))
    return found


def _rivals(certificate: Certificate) -> list[Doubt]:
    return [
        Doubt(
            "rivals",
            f"{name} is hardly determined: starts end at {low:.3g} to {high:.3g}, equally likely by these runs",
            (name,),
        )
        for name, (low, high) in certificate.rivals.items()
    ]


def _flat(problem: Problem, vector: Array, constraints: Constraints, *, sampled: bool) -> list[Doubt]:
    """Scales that look loose from the curvature and whose profile does not close them within a factor of ten.

    A sample of a store is looser than the store: nothing is said of it.
    """
    if sampled or problem.n_used > _PROFILED_UP_TO or problem.scale_is_known:
        return []
    linear = Linear.of(problem, vector)
    spread = np.sqrt(float(linear.weights @ linear.residuals**2) / problem.n_used)
    errors = spread * np.linalg.norm(linear.inverse, axis=1)
    found = []
    moving = [int(m) for m in problem.moving(vector) if not set(problem.names_of(int(m))) & set(linear.undetermined)]
    for entry, error in zip(moving, errors, strict=True):
        names = problem.names_of(entry)
        if not (problem.law.code.LOG[problem.law.names.index(names[0])] and error > _SUSPECT and len(moving) > 1):
            continue
        along = profile(problem, constraints, vector, names[0], _LEVEL)
        low, high = along.interval
        if all(along.closed) and high <= _WIDE * low:
            continue
        inside = (along.values >= low) & (along.values <= high)
        change = float(along.objective[inside].max() / along.objective.min() - 1)
        text = (
            f"{' = '.join(names)} is not determined: from {along.values[inside][0]:.3g} to "
            f"{along.values[inside][-1]:.3g} the objective changes by {change:.2%} at most"
        )
        found.append(_with_cure(problem, vector, "flat", text, names))
    return found


def _traded(problem: Problem, vector: Array, certificate: Certificate) -> list[Doubt]:
    if not certificate.condition > _ILL_CONDITIONED:
        return []
    names = weakest(problem, vector)
    listed = ", ".join(names)
    if certificate.condition > _SINGULAR:
        text = f"the runs cannot separate {listed} at the optimum (condition {certificate.condition:.1e})"
        return [_with_cure(problem, vector, "singular", text, names)]
    text = f"ill-conditioned ({certificate.condition:.1e}): {listed} trade off; trust predictions inside the runs"
    return [_with_cure(problem, vector, "ill-conditioned", text, names)]


def weakest(problem: Problem, vector: Array) -> tuple[str, ...]:
    """Parameters that move along the direction that changes the residuals least."""
    linear = Linear.of(problem, vector)
    length = np.linalg.norm(linear.columns, axis=0)
    direction = np.abs(np.linalg.svd(linear.columns / length)[2][-1])
    _, jacobian = problem.residuals(vector)
    moving = [int(m) for m in problem.moving(vector) if np.any(jacobian[:, m])]
    return tuple(n for m, d in zip(moving, direction, strict=True) if d > 0.1 for n in problem.names_of(m))


def _with_cure(problem: Problem, vector: Array, kind: str, text: str, names: tuple[str, ...]) -> Doubt:
    found: Cure | None = cure(problem, vector, names[0])
    if found is None:
        return Doubt(kind, text, names)
    return Doubt(kind, f"{text}; {found}", names, found.run)
