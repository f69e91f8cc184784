"""The points of a run: out of its lines, and as columns of the kinds that a file keeps them in."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.runs.files import whole
from isoflop.runs.folder import POINTS, Folder

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, NDArray[np.float64]]
"""(n_points,) each, NaN where a point lacks a value."""

RUN = "run"
"""The column, where points of many runs are together, that says whose they are."""

_WHOLE = 2.0**53
_POINTS = msgspec.json.Decoder(dict[str, float | None])


def read_lines(folder: Folder) -> Columns | None:
    """The points in the ``points.jsonl`` of a folder, a torn last line left out; None where there is none.

    Raises:
        StoreError: it is damaged.
    """
    if (content := folder.read(POINTS)) is None:
        return None
    try:
        rows = _POINTS.decode_lines(whole(content))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StoreError(
            f"{folder.url}/{POINTS} is damaged: {error}", hint="move its folder away; the run will be made again"
        ) from error
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: np.array([row.get(name) for row in rows], float) for name in names}


def typed(name: str, values: NDArray[np.float64]) -> pa.Array:
    """A column in the narrowest kind that holds it: whole numbers as int64, others as float32 where that is exact.

    A loss is always float32: half a unit in its last place is 6e-8 of the loss, far below the noise of seeds and of
    evaluation. NaN becomes null.
    """
    import pyarrow as pa

    absent = np.isnan(values)
    given = values[~absent] if absent.any() else values
    with np.errstate(over="ignore"):
        narrow = given.astype(np.float32)
    kind: type[np.number[Any]] = np.float64
    if ("loss" in name and np.isfinite(narrow).all()) or np.array_equal(narrow, given):
        kind = np.float32
    if "loss" not in name and (np.abs(given) <= _WHOLE).all() and np.array_equal(given, np.floor(given)):
        kind = np.int64
    if given.size < values.size:
        values = np.where(absent, 0.0, values)
    return pa.array(values.astype(kind), mask=absent if given.size < values.size else None)
