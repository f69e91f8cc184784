"""What a run may be chosen by: the inputs that a law may have for its runs to be designed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN

Array = NDArray[np.float64]
Columns = Mapping[str, Array]

DERIVED: Mapping[str, Callable[[Columns], Array]] = {
    "C": lambda run: FLOP_PER_PARAM_TOKEN * run["N"] * run["D"],
    "M": lambda run: run["D"] / run["N"],
    "S": lambda run: run["D"] / run["B"],
}
"""Inputs that follow from N, D and the batch B in tokens."""

_CHOSEN = ("N", "D", "B")


def require_designable(law: Law) -> None:
    """Refuse a law whose runs are not told apart by N, D and B.

    Raises:
        PlanError: the law has another input; the message names it.
    """
    for name in law.inputs:
        if name not in _CHOSEN and name not in DERIVED:
            raise PlanError(
                f"{law.name} sees {name}, by which no run can be chosen",
                hint=f"a law of {', '.join((*_CHOSEN, *DERIVED))}",
            )


def has_batches(law: Law) -> bool:
    """Whether runs of this law differ by their batch too."""
    return bool({"B", "S"} & set(law.inputs))


def completed(columns: Columns, law: Law) -> dict[str, Array]:
    """N, D, C and every input of the law, from N, D and, where the law needs it, B; those that are given stay.

    Raises:
        PlanError: a column is missing, not positive or of another length.
    """
    found = {name: np.atleast_1d(np.asarray(values, dtype=np.float64)) for name, values in columns.items()}
    asked = ("N", "D", *law.inputs)
    needed = dict.fromkeys([*asked, *(["B"] if "S" in asked and "S" not in found else [])])
    missing = [name for name in needed if name not in found and name not in DERIVED]
    if missing:
        raise PlanError(f"candidates need the column {missing[0]!r}", hint='candidates={"N": ..., "D": ...}')
    for name in dict.fromkeys(["C", *law.inputs]):
        if name not in found:
            found[name] = DERIVED[name](found)
    for name, values in found.items():
        if values.shape != found["N"].shape or not (np.isfinite(values) & (values > 0)).all():
            raise PlanError(f"every {name} of the candidates must be positive and finite, as many as there are N")
    return found
