"""What share of an average of the weights over training the newest have, step by step: averages by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isoflop.errors import SpecError, nearest

Weigh = Callable[[int, int, int], float]


def _ema(step: int, n_steps: int, span: int) -> float:
    keep = 1 - 1 / span
    return (1 - keep) / (1 - keep**step)


def _tail(step: int, n_steps: int, span: int) -> float:
    return 1 / max(1, step - (n_steps - span))


AVERAGES: Mapping[str, Weigh] = {"none": lambda step, n_steps, span: 1.0, "ema": _ema, "tail": _tail}
"""The share of the newest weights in the average after ``step`` of ``n_steps``, counted from 1.

``ema`` forgets over ``span`` steps, without a bias to the first weights; ``tail`` is the plain mean of the last
``span`` steps of the run (Izmailov et al. 2018; Kaddour 2022), the weights themselves until those begin."""


def newest_share(name: str, *, n_steps: int, share: float) -> Callable[[int], float]:
    """The share of the newest weights after each of ``n_steps`` in an average that reaches over ``share`` of them.

    It reaches over one step at least. Raises SpecError where no average has that name.
    """
    if name not in AVERAGES:
        raise SpecError(f"unknown averaging {name!r}", hint=nearest(str(name), AVERAGES))
    weigh, span = AVERAGES[name], max(1, round(share * n_steps))
    return lambda step: weigh(step, n_steps, span)
