"""Runs whose first steps are the same: a cool-down and its trunk, or a run and a longer one at the same constant rate.

In a stack such steps are made once: until the two part, the shorter run follows the longer one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.train.newest import newest_share
from isoflop.train.spec import TrainSpec

# What does not change the steps already made, or shows in their rates and their averages.
_FREE = {
    *("tokens", "learning_rate", "final_learning_rate", "warmup_steps", "schedule", "decay_steps", "averaging_share"),
    *("evaluations", "eval_tokens", "patience", "early_stop", "measurements", "exact_match", "transfer"),
}
_LEAST_SHARE = 0.1
"""Of its own steps that a run must share to follow another: less is not worth a copy of the model."""


@dataclass(frozen=True)
class Parting:
    """``trunk``: the run, by its place in the stack, whose first ``step`` steps are also this one's."""

    trunk: int
    step: int


def trained_so_far(spec: TrainSpec, rates: NDArray[np.float64]) -> str:
    """A hash of everything in a run that its steps at ``rates``, the first of it, depend on."""
    same = {name: value for name, value in spec.to_dict().items() if name not in _FREE}
    same["noise"] = "noise" in spec.measurements
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode())
    digest.update(rates.tobytes())
    digest.update(_newest(spec, len(rates)).tobytes())
    return digest.hexdigest()


def _newest(spec: TrainSpec, steps: int) -> NDArray[np.float64]:
    """The share of the newest weights in what is judged after each of the first ``steps``, (steps,)."""
    newest = newest_share(spec.averaging, n_steps=spec.n_steps, share=spec.averaging_share)
    return np.array([newest(step + 1) for step in range(steps)])


def partings(specs: Sequence[TrainSpec]) -> Mapping[int, Parting]:
    """By the place of each run that may follow another of ``specs``: which one, and for how long."""
    longest: dict[str, int] = {}
    found: dict[int, Parting] = {}
    for k in sorted(range(len(specs)), key=lambda k: -specs[k].n_steps):
        kind = trained_so_far(specs[k], np.empty(0))
        trunk = longest.setdefault(kind, k)
        if trunk == k:
            continue
        n_steps = specs[k].n_steps
        mine, its = (np.stack([of.rates()[:n_steps], _newest(of, n_steps)]) for of in (specs[k], specs[trunk]))
        differ = np.flatnonzero((mine != its).any(0))
        step = int(differ[0]) if differ.size else n_steps - 1
        if step >= _LEAST_SHARE * n_steps:
            found[k] = Parting(trunk, step)
    return found


def families(specs: Sequence[TrainSpec]) -> list[list[TrainSpec]]:
    """``specs`` in parts that go together: each run with those that follow it, the longest first."""
    followed = partings(specs)
    parts: dict[int, list[TrainSpec]] = {k: [spec] for k, spec in enumerate(specs) if k not in followed}
    for k in sorted(followed, key=lambda k: -specs[k].n_steps):
        parts[followed[k].trunk].append(specs[k])
    return list(parts.values())


def trained_steps(specs: Sequence[TrainSpec]) -> int:
    """Steps that a stack of these runs makes: those of each, without the ones that it follows another for."""
    return sum(spec.n_steps for spec in specs) - sum(parting.step for parting in partings(specs).values())
