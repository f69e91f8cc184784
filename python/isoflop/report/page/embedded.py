"""What the page's planner computes from, as plain numbers: a fit with its draws, devices, and where to begin."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import SpecError
from isoflop.fitting import Fit
from isoflop.fitting.data import FLOP_PER_PARAM_TOKEN
from isoflop.fitting.derived import resampled
from isoflop.hardware import DEVICES, Device
from isoflop.laws.presets import PRESETS, Preset
from isoflop.planning.bill import POWER
from isoflop.report.analysis import Analysis

START = {"device": "h100-sxm", "mfu": 0.4, "count": 8, "price": 2.5}
"""What the planner is first asked of devices: any of it can be changed on the page."""

_DECAYS = "muennighoff"
"""The published set that says what repeated tokens are worth: hardly any study can tell."""
_UNIQUE = 10.0
"""Times D*: tokens that are at hand until somebody says otherwise."""


def planner(analysis: Analysis) -> dict[str, Any]:
    """The numbers of ``planner.js``; arrays are little-endian float64 in base64, row by row."""
    fit, best = analysis.best.fit, analysis.plan
    under = resampled(fit, best.level, fit.default_kind)
    columns = {name: fit.data.columns[name] for name in ("N", "D")}
    columns["C"] = fit.data.columns.get("C", FLOP_PER_PARAM_TOKEN * columns["N"] * columns["D"])
    repeats = repeating(analysis)
    return {
        "law": fit.law.name,
        "names": list(fit.law.names),
        "own": [fit.params[name] for name in fit.law.names],
        "draws": _packed(under.draws),
        "pulls": _packed(under.pulls),
        "steps": under.steps.tolist(),
        "reach": under.reach,
        "level": best.level,
        "ranges": {name: [float(values.min()), float(values.max())] for name, values in columns.items()},
        "repeats": None if repeats is None else dict(repeats.values),
        "devices": {key: _device(each) for key, each in DEVICES.items() if _has_bf16(each)},
        "start": {
            **START, "compute": best.compute, "unique": _UNIQUE * best.n_tokens, "served": best.n_tokens,
        },
    }  # fmt: skip


def repeating(analysis: Analysis) -> Preset | None:
    """The Chinchilla law of the study's runs with published decays of repeated tokens; None where it was not fitted."""
    published = PRESETS[_DECAYS]
    assert isinstance(published, Preset)
    for law in analysis.laws:
        if law.fit.law.name == "chinchilla":
            return _with_decays(law.fit, published)
    return None


def _with_decays(fit: Fit, published: Preset) -> Preset:
    values = {**fit.params, "R_D": published.values["R_D"], "R_N": published.values["R_N"]}
    source = f"chinchilla fitted to {fit.n_runs} runs, R_D and R_N of {published.source}"
    return Preset(
        name="repeats", law=published.law, values=values, n_convention=fit.data.n_convention, source=source,
    )  # fmt: skip


def to_script(value: object) -> str:
    """JSON that no text of a run can leave: it ends no script element and begins no comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _packed(rows: NDArray[np.float64]) -> str:
    return base64.b64encode(np.ascontiguousarray(rows, dtype="<f8").tobytes()).decode()


def _has_bf16(device: Device) -> bool:
    try:
        return device.peak("bf16") > 0
    except SpecError:
        return False


def _device(device: Device) -> dict[str, Any]:
    watts = None if device.tdp is None else [share * device.tdp for share in POWER]
    return {"name": device.name, "flops": device.peak("bf16"), "watts": watts}
