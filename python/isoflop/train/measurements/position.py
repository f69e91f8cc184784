"""The held-out loss by place in the context (Kaplan et al. 2020, Figs 7, 20 and 21)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]

_PLACES = 32
_PREFIX = "val_loss_at_"


def places(n_ctx: int) -> list[int]:
    """The places written of a context, counted from 1: all of 32, else 32 spaced in the logarithm, the last one too."""
    if n_ctx <= _PLACES:
        return list(range(1, n_ctx + 1))
    return sorted({int(place) for place in np.geomspace(1, n_ctx, _PLACES).round()})


def loss_by_position(losses: Tensor) -> dict[str, float]:
    """Columns of a point from the losses (windows, n_ctx) of every held-out token: nats, the mean over windows."""
    means = losses.double().mean(dim=0)
    return {f"{_PREFIX}{place}": float(means[place - 1]) for place in places(losses.shape[1])}


def position_curve(points: Mapping[str, NDArray[np.float64]], row: int = -1) -> tuple[Array, Array]:
    """Places in the context, from 1, and the losses there in nats, of the ``row``-th evaluation of a run.

    Args:
        points: columns, as :meth:`isoflop.RunStore.points_of` gives them.
        row: which evaluation; the last one by default.

    Raises:
        FitError: the run did not measure it, or not so often.
    """
    found = sorted(int(name.removeprefix(_PREFIX)) for name in points if name.startswith(_PREFIX))
    if not found:
        raise FitError("these points have no loss by position", hint='train with measurements = ["position"]')
    columns = np.array([points[f"{_PREFIX}{place}"] for place in found])
    evaluated = columns[:, np.isfinite(columns).any(axis=0)]
    count = evaluated.shape[1]
    if not -count <= row < count:
        raise FitError(f"there is no evaluation {row} of {count}", hint="they count from 0; -1 is the last")
    return np.array(found, dtype=np.float64), evaluated[:, row]
