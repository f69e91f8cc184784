"""Programmes of several groups from a few numbers: what Kaplan et al. 2020 measured, at sizes of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np

from isoflop.sweep.near import Positive

_SCAN = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
_ASPECTS = (8, 16, 32, 64)
_CURVE: dict[str, Any] = {"schedule": "constant", "evaluations": 40}


@dataclass(frozen=True, kw_only=True)
class Kaplan:
    """The grids of Kaplan et al. 2020, as groups: each law with the runs that show it.

    ``L(N, D)`` (their figures 4 and 9) is every size with every D; ``L(N, S)`` (figure 4) every size at a constant
    learning rate, as long as the longest; ``B_crit(L)`` (figures 10 and 18) the middle size at batches over a factor of
    64, the learning rate following their root; ``shape`` (figure 5) the middle N at several aspects; ``C`` (figure 13)
    isoFLOP profiles between the least and the largest run of the grid.

    Attributes:
        n_nonembedding: the smallest and the largest N.
        sizes: of them, evenly in logarithms.
        tokens: the least and the largest D.
        datasets: of them, evenly in logarithms.
        budgets: isoFLOP profiles.
    """

    n_nonembedding: tuple[Positive, Positive]
    sizes: Annotated[int, msgspec.Meta(ge=2)] = 5
    tokens: tuple[Positive, Positive]
    datasets: Annotated[int, msgspec.Meta(ge=2)] = 5
    budgets: Annotated[int, msgspec.Meta(ge=1)] = 3

    def groups(self, space: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Each as a ``[[group]]`` would say it; ``space`` is the ``near`` table in which shapes are looked for."""
        n, d = (
            _between(ends, count) for ends, count in ((self.n_nonembedding, self.sizes), (self.tokens, self.datasets))
        )
        middle, longest = n[len(n) // 2], [d[-1]]
        near, of_middle = {**space, "n_nonembedding": n}, {**space, "n_nonembedding": [middle]}
        ends = 6 * n[0] * d[0] * 10, 6 * n[-1] * d[-1] / 10
        budgets = _between((min(ends), max(ends)), self.budgets + 2)[1:-1]

        def around(aspect: int) -> dict[str, Any]:
            return {"aspect": [aspect / math.sqrt(2), aspect * math.sqrt(2)], "tolerance": 0.2}

        return [
            {"name": "L(N, D)", "near": near, "tokens": d},
            {"name": "L(N, S)", "purpose": "steps", "near": near, "tokens": longest, "train": _CURVE},
            {
                "name": "B_crit(L)",
                "purpose": "batch",
                "near": of_middle,
                "tokens": longest,
                "zip": ["batch_scan", "learning_rate_scan"],
                "train": {
                    **_CURVE,
                    "evaluations": 80,
                    "batch_scan": _SCAN,
                    "learning_rate_scan": [math.sqrt(multiple) for multiple in _SCAN],
                },
            },
            *(
                {"name": f"shape: aspect {a}", "purpose": "shape", "near": of_middle | around(a), "tokens": longest}
                for a in _ASPECTS
            ),
            {"name": "C", "purpose": "isoflop", "near": space, "profiles": {"budgets": budgets}},
        ]


def _between(ends: tuple[float, float], count: int) -> list[float]:
    return [float(value) for value in np.geomspace(*ends, count)]
