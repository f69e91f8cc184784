"""Early stopping by prediction: a run ends once its final held-out loss is foreseen narrowly enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.fitting.final_loss import FinalLoss

LEVEL = 0.95
"""Of the interval that :attr:`TrainSpec.early_stop` bounds."""


def foresee(spec: TrainSpec, rates: NDArray[np.float64], seen: Mapping[int, float]) -> FinalLoss | None:
    """The final held-out loss of a run, where the interval around it is no wider than ``early_stop`` either way.

    Args:
        spec: of the run.
        rates: (n_steps,) learning rates, those to come too.
        seen: held-out losses by the step at which they were measured.
    """
    from isoflop.fitting.curves import Curve
    from isoflop.fitting.final_loss import predict_final

    try:
        found = predict_final(Curve(list(seen), list(seen.values()), rates, spec.warmup_steps), level=LEVEL)
    except FitError:  # too few points, or a rate that is still to fall: nothing can be said yet
        return None
    low, high = found.interval
    return found if (high - low) / 2 <= spec.early_stop else None
