"""A fit on disk: JSON with the law, the criterion, the data and their fingerprint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from isoflop._core import __version__
from isoflop.errors import FitError
from isoflop.fitting.constraints import Constraints
from isoflop.fitting.data import FitData
from isoflop.fitting.fitted import Fit
from isoflop.fitting.identifiability import Doubt
from isoflop.fitting.objective import OBJECTIVES
from isoflop.fitting.solve import Certificate
from isoflop.fitting.uncertainty import N_DRAWS
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law

FORMAT = 3
_DRAWS = {"n": N_DRAWS, "seed": 0}


def to_dict(fit: Fit) -> dict[str, Any]:
    """A fit as plain values; a missing standard error is None."""
    certificate = fit.certificate
    return {
        "format": FORMAT,
        "isoflop": __version__,
        "law": fit.law.name,
        "declaration": _with_domains(fit.law.declaration(), _ends),
        "params": dict(fit.params),
        "standard_errors": {name: _number(error) for name, error in fit.standard_errors.items()},
        "objective": fit.objective,
        "criterion": {"name": fit.criterion.name, **asdict(fit.criterion)},
        "constraints": {
            "fix": dict(fit.constraints.fix),
            "bounds": {name: _ends(ends) for name, ends in fit.constraints.bounds.items()},
            "tie": [list(group) for group in fit.constraints.tie],
        },
        "residual_rms": fit.residual_rms,
        "n_runs": fit.n_runs,
        "certificate": {
            "starts": certificate.starts,
            "hit_rate": certificate.hit_rate,
            "spread": certificate.spread,
            "condition": certificate.condition,
            "gradient": certificate.gradient,
            "at_bounds": list(certificate.at_bounds),
            "converged": certificate.converged,
            "rivals": {name: list(ends) for name, ends in certificate.rivals.items()},
            "points": certificate.points,
            "passes": certificate.passes,
        },
        "of_points": None if fit.of_points is None else [[_number(v) for v in row] for row in fit.of_points],
        "notes": list(fit.notes),
        "doubts": [
            {**asdict(doubt), "parameters": list(doubt.parameters), "cure": doubt.cure and dict(doubt.cure)}
            for doubt in fit.doubts
        ],
        "excluded": list(fit.excluded),
        "level": fit.level,
        "n_starts": fit.n_starts,
        "draws": _DRAWS,
        "data": {
            "source": fit.data.source,
            "n_convention": fit.data.n_convention,
            "distinct": fit.data.distinct,
            "sha256": fit.data.fingerprint(),
            "columns": {name: values.tolist() for name, values in fit.data.columns.items()},
            "weights": None if fit.data.weights is None else fit.data.weights.tolist(),
            "sigma": None if fit.data.sigma is None else fit.data.sigma.tolist(),
            "cluster": None if fit.data.cluster is None else fit.data.cluster.tolist(),
        },
    }


def from_dict(record: Mapping[str, Any]) -> Fit:
    """The fit of a record.

    Raises:
        FitError: another format, a law whose formula has changed, data that do not match their fingerprint, or
            something is missing.
    """
    if record.get("format") != FORMAT:
        raise FitError(f"not a fit of format {FORMAT}: format is {record.get('format')!r}", hint="fit the runs again")
    try:
        return _read(record)
    except KeyError as error:
        raise FitError(f"the record of a fit lacks {error}", hint="fit the runs again") from error


def _read(record: Mapping[str, Any]) -> Fit:
    law = Law.declared(record["law"], _with_domains(record["declaration"], _interval))
    shipped = LAWS.get(law.name, law)
    if shipped.formula != law.formula:
        raise FitError(
            f"{law.name} was fitted as {law.formula!r} and is now {shipped.formula!r}", hint="fit the runs again"
        )
    law = shipped
    stored = record["data"]
    columns = {name: np.array(values, dtype=np.float64) for name, values in stored["columns"].items()}
    excluded = tuple(record["excluded"])
    weights, sigma = (
        None if stored[k] is None else np.array(stored[k], dtype=np.float64) for k in ("weights", "sigma")
    )
    cluster = None if stored["cluster"] is None else np.array(stored["cluster"], dtype=np.int64)
    data = FitData(
        columns,
        excluded,
        stored["source"],
        stored["n_convention"],
        weights,
        sigma,
        cluster,
        stored.get("distinct", False),
    )
    if data.fingerprint() != stored["sha256"]:
        raise FitError(
            "the columns of this fit do not match their fingerprint: the file was changed", hint="fit the runs again"
        )
    asked = dict(record["criterion"])
    criterion = OBJECTIVES[asked.pop("name")](**asked)
    held = record["constraints"]
    constraints = Constraints(
        held["fix"],
        {name: _interval(ends) for name, ends in held["bounds"].items()},
        tuple(tuple(group) for group in held["tie"]),
    )
    errors = {k: math.nan if v is None else v for k, v in record["standard_errors"].items()}
    certified = record["certificate"]
    certificate = Certificate(
        **{
            **certified,
            "at_bounds": tuple(certified["at_bounds"]),
            "rivals": {name: (low, high) for name, (low, high) in certified.get("rivals", {}).items()},
        }
    )
    return Fit(
        law=law,
        params=dict(record["params"]),
        standard_errors=errors,
        objective=record["objective"],
        criterion=criterion,
        residual_rms=record["residual_rms"],
        n_runs=record["n_runs"],
        certificate=certificate,
        notes=tuple(record["notes"]),
        doubts=tuple(Doubt(**{**d, "parameters": tuple(d["parameters"])}) for d in record["doubts"]),
        excluded=excluded,
        data=data,
        constraints=constraints,
        level=record["level"],
        n_starts=record["n_starts"],
        of_points=None if record["of_points"] is None else np.array(record["of_points"], dtype=np.float64),
    )


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def _ends(interval: Sequence[float]) -> list[float | str]:
    """An interval for JSON, which has no infinity."""
    return [end if math.isfinite(end) else str(end) for end in interval]


def _interval(ends: Sequence[float | str]) -> tuple[float, float]:
    low, high = (float(end) for end in ends)
    return low, high


def _with_domains(declaration: Mapping[str, Any], turned: Callable[[Any], Any]) -> dict[str, Any]:
    parameters = {
        name: {**described, "domain": turned(described["domain"])}
        for name, described in declaration["parameters"].items()
    }
    return {**declaration, "parameters": parameters}


def save(fit: Fit, path: Path) -> None:
    """Write a fit as JSON."""
    path.write_text(json.dumps(to_dict(fit), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> Fit:
    """Read a fit.

    Raises:
        FitError: the file is missing or is not a fit.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FitError(
            f"cannot read a fit from {path}: {error}", hint="isoflop.fit(...).save(path) writes one"
        ) from error
    if not isinstance(record, dict):
        raise FitError(f"{path} holds no fit")
    return from_dict(record)
