"""Runs that stand twice in what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError

Array = NDArray[np.float64]


def refuse_copies(columns: Mapping[str, Array], given: Mapping[str, Any]) -> None:
    """Two rows that agree in every column of the data are one run read twice; repeats of a run differ somewhere.

    Args:
        columns: those that are fitted, numbers, one value a run.
        given: all of the data.

    Raises:
        FitError: names both rows, and says how many there are.
    """
    table = np.stack(list(columns.values()))
    marks = np.sort(_marks(table))
    if not (marks[1:] == marks[:-1]).any():
        return
    order = np.lexsort(table)
    same = np.flatnonzero((table[:, order[1:]] == table[:, order[:-1]]).all(axis=0))
    others = [np.asarray(values) for name, values in given.items() if name not in columns]
    for values in others if same.size else ():
        same = same[values[order[same]] == values[order[same + 1]]]
    if same.size:
        first, second = min(sorted(pair) for pair in zip(order[same].tolist(), order[same + 1].tolist(), strict=True))
        shown = ", ".join(f"{name} = {values[first]:g}" for name, values in columns.items())
        raise FitError(
            f"rows {first} and {second} are the same run ({shown}); {_copies(same.size)}",
            hint="drop the copies; where they are meant, say so with weights=, one for each row",
        )


def _copies(n: int) -> str:
    return "1 row is a copy of another" if n == 1 else f"{n} rows are copies of others"


def _marks(table: Array) -> NDArray[np.uint64]:
    """A number of 64 bits for each column of a table (k, n), the same where columns are: to sort one, not k."""
    marks = np.zeros(table.shape[1], dtype=np.uint64)
    for row in table:
        # -0 and 0 are the same number
        marks ^= (row + 0.0).view(np.uint64)
        marks *= np.uint64(0x9E3779B97F4A7C15)
        marks ^= marks >> np.uint64(32)
    return marks
