"""A fit on disk: JSON with the law, the criterion, the data and their fingerprint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isoflop._core import __version__
from isoflop.errors import FitError
from isoflop.fitting.data import FitData
from isoflop.fitting.fit import N_DRAWS, Fit
from isoflop.fitting.objective import Huber, LeastSquares, Objective
from isoflop.fitting.solve import Certificate
from isoflop.laws.catalogue import get_law

FORMAT = 1
_DRAWS = {"n": N_DRAWS, "seed": 0}


def to_dict(fit: Fit) -> dict[str, Any]:
    """A fit as plain values; a missing standard error is None."""
    certificate = fit.certificate
    return {
        "format": FORMAT,
        "isoflop": __version__,
        "law": fit.law.name,
        "formula": fit.law.formula,
        "params": dict(fit.params),
        "standard_errors": {k: v if math.isfinite(v) else None for k, v in fit.standard_errors.items()},
        "objective": fit.objective,
        "criterion": {"huber_delta": fit.criterion.delta} if isinstance(fit.criterion, Huber) else "least-squares",
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
        },
        "notes": list(fit.notes),
        "excluded": list(fit.excluded),
        "level": fit.level,
        "n_starts": fit.n_starts,
        "draws": _DRAWS,
        "data": {
            "source": fit.data.source,
            "n_convention": fit.data.n_convention,
            "sha256": fit.data.fingerprint(),
            "columns": {name: values.tolist() for name, values in fit.data.columns.items()},
        },
    }


def from_dict(record: Mapping[str, Any]) -> Fit:
    """The fit of a record.

    Raises:
        FitError: another format, a law whose formula has changed, or data that do not match their fingerprint.
    """
    if record.get("format") != FORMAT:
        raise FitError(f"not a fit of format {FORMAT}: format is {record.get('format')!r}", hint="fit the runs again")
    law = get_law(record["law"])
    if law.formula != record["formula"]:
        raise FitError(
            f"{law.name} was fitted as {record['formula']!r} and is now {law.formula!r}", hint="fit the runs again"
        )
    stored = record["data"]
    columns = {name: np.array(values, dtype=np.float64) for name, values in stored["columns"].items()}
    excluded = tuple(record["excluded"])
    data = FitData(columns, excluded, stored["source"], stored["n_convention"])
    if data.fingerprint() != stored["sha256"]:
        raise FitError(
            "the columns of this fit do not match their fingerprint: the file was changed", hint="fit the runs again"
        )
    criterion: Objective = LeastSquares()
    if isinstance(record["criterion"], Mapping):
        criterion = Huber(record["criterion"]["huber_delta"])
    errors = {k: math.nan if v is None else v for k, v in record["standard_errors"].items()}
    certificate = Certificate(**{**record["certificate"], "at_bounds": tuple(record["certificate"]["at_bounds"])})
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
        excluded=excluded,
        data=data,
        level=record["level"],
        n_starts=record["n_starts"],
    )


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
