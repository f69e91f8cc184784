"""Columns by name out of a mapping, a table or a run store, for the estimators that take more than a law's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError, nearest
from isoflop.fitting.data import FLOP_PER_PARAM_TOKEN, FitData, RunSource

Array = NDArray[np.float64]


def read_columns(data: object, *names: str) -> dict[str, Array]:
    """The columns of those names, checked; of N, D and C one that is missing follows from C = 6 N D.

    Raises:
        FitError: a column is missing, or a value is not positive and finite (names column and row).
    """
    given: Any = data.fit_data() if isinstance(data, RunSource) else data
    given = given.columns if isinstance(given, FitData) else given
    labels = getattr(given, "column_names", None) or list(given)
    known = {str(label): given[label] for label in labels}
    asked = {name: known[name] for name in dict.fromkeys((*names, *"NDC")) if name in known}
    columns = checked(asked) if asked else {}
    for name in names:
        if name not in columns:
            columns[name] = _derived(name, columns, list(known))
    return {name: columns[name] for name in names}


def _derived(name: str, columns: Mapping[str, Array], known: list[str]) -> Array:
    if name == "C" and {"N", "D"} <= columns.keys():
        return FLOP_PER_PARAM_TOKEN * columns["N"] * columns["D"]
    if name in ("N", "D"):
        other = "D" if name == "N" else "N"
        if {"C", other} <= columns.keys():
            return columns["C"] / (FLOP_PER_PARAM_TOKEN * columns[other])
    raise FitError(
        f"the column {name!r} is needed; the data have {', '.join(known) or 'none'}",
        hint=nearest(name, known) if known else "give columns such as N, D and L",
    )


def checked(columns: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Columns as arrays of one length, every value positive and finite.

    Raises:
        FitError: they are not, or no numbers; names the column and the row.
    """
    arrays = {name: _numbers(name, values) for name, values in columns.items()}
    if len({array.shape for array in arrays.values()}) != 1 or next(iter(arrays.values())).ndim != 1:
        shapes = ", ".join(f"{name} has shape {array.shape}" for name, array in arrays.items())
        raise FitError(f"columns of one length are needed: {shapes}")
    for name, array in arrays.items():
        bad = np.flatnonzero(~(np.isfinite(array) & (array > 0)))
        if bad.size:
            raise FitError(
                f"column {name!r}, row {bad[0]}: {array[bad[0]]:g}; every value must be positive and finite",
                hint="drop or repair those rows",
            )
    return arrays


def _numbers(name: str, values: ArrayLike) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FitError(f"column {name!r} is not numeric: {error}", hint="give numbers, one a row") from error
