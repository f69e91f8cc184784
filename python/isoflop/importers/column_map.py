"""Which number of a run is which column of its file: a name, or arithmetic over names.

``{"N": "Model Size", "C": "Training FLOP", "D": "C / (6 * N)", "spec.optimizer": "'adamw'"}``: what is on the right is
the name of a column or field of the file if there is one, else an expression in +, -, *, / and ** over columns, fields,
numbers and the names mapped before it, else a quoted word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from operator import add, mul, neg, pos, sub, truediv
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import SourceError, SpecError, nearest
from isoflop.importers.found import Found

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = ("N", "n_params", "D", "C", "U")
"""Names that are counts of a run, as :class:`isoflop.runs.RunRecord` has them."""

SPEC = "spec."
"""``spec.seed`` is a field of the run's spec; ``spec.*`` with ``config.*`` takes every field of that beginning."""

MOST_FIELDS = 1000
"""Fields that ``spec.*`` may stand for."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]{0,63}")
_RESERVED = ("id", "store")
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv, ast.Pow: np.power,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: neg, ast.UAdd: pos}


class Values(NamedTuple):
    """A value a row: numbers, and whether the file has none there; or words, None where it has none."""

    numbers: NDArray[np.float64]
    absent: NDArray[np.bool_]
    words: list[Any] | None = None


def check_names(columns: Mapping[str, str]) -> None:
    """Refuse what cannot be the name of a number.

    Raises:
        SpecError: no columns, or a name that is none.
    """
    if not columns:
        raise SpecError(
            "no column is mapped", hint='such as {"N": "params", "D": "tokens", "loss": "val loss"}; --map N=params'
        )
    for name in columns:
        if name != f"{SPEC}*" and (not _NAME.fullmatch(name) or name in _RESERVED or ".." in f"{name}."):
            raise SpecError(
                f"{name!r} cannot be the name of a number of runs", hint="letters, digits, _ . / @ and -, at most 64"
            )


def expand(found: Found, columns: Mapping[str, str]) -> dict[str, str]:
    """The map with ``spec.*`` replaced by the fields and columns that it stands for.

    Raises:
        SpecError: it is not mapped to the beginning of names, ``config.*``, or stands for too many.
    """
    beginning = columns.get(f"{SPEC}*")
    if beginning is None:
        return dict(columns)
    if not beginning.endswith("*"):
        raise SpecError(
            f"{SPEC}* stands for many fields, and {beginning!r} for one", hint=f"such as '{SPEC}*=config.*'"
        )
    begins = beginning.removesuffix("*")
    names = [name for name in (*found.fields, *found.table.column_names) if name.startswith(begins)]
    if len(names) > MOST_FIELDS:
        raise SpecError(
            f"{beginning} stands for {len(names)} fields, more than {MOST_FIELDS}", hint="map those you need"
        )
    taken = {f"{SPEC}{name.removeprefix(begins)}": name for name in names if name != begins}
    return {name: source for name, source in (taken | dict(columns)).items() if name != f"{SPEC}*"}


def evaluate(found: Found, columns: Mapping[str, str]) -> dict[str, Values]:
    """The mapped columns of what was found, a value a row; fields of the file stand on every row.

    Raises:
        SourceError: it has no such column, or words where numbers are asked for.
        SpecError: an expression that is none.
    """
    known: dict[str, Values] = {}
    for name, source in columns.items():
        known[name] = _value(found, source, known, words=name == "run" or name.startswith(SPEC))
    return known


def _value(found: Found, source: str, known: Mapping[str, Values], *, words: bool) -> Values:
    taken = _named(found, source, words)
    if taken is not None:
        return taken
    try:
        tree = ast.parse(source.strip(), mode="eval").body
        if words and isinstance(tree, ast.Constant) and isinstance(tree.value, str):
            return _words([tree.value] * found.table.num_rows)
        with np.errstate(all="ignore"):
            return _computed(tree, found, known)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, SourceError | SpecError):
            raise
        raise _unknown(found, source, known) from error


def _computed(node: ast.expr, found: Found, known: Mapping[str, Values]) -> Values:
    rows = found.table.num_rows
    match node:
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            first, second = (_computed(side, found, known) for side in (left, right))
            return Values(_BINARY[type(op)](first.numbers, second.numbers), first.absent | second.absent)
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            inner = _computed(operand, found, known)
            return Values(_UNARY[type(op)](inner.numbers), inner.absent)
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            return Values(np.full(rows, float(number)), np.zeros(rows, bool))
        case ast.Name() | ast.Attribute():
            name = ast.unparse(node)
            taken = known.get(name) or _named(found, name, words=False)
            if taken is None:
                raise _unknown(found, name, known)
            return taken
    raise SpecError(f"{ast.unparse(node)!r} is no arithmetic", hint="+, -, *, /, ** over columns and numbers")


def _named(found: Found, name: str, words: bool) -> Values | None:
    """The column or field of that very name."""
    if name in found.table.column_names:
        if found.table.column_names.count(name) > 1:
            raise SourceError(f"several columns are called {name!r}", hint="give them names of their own")
        column = found.table[name]
        return _words(_listed(column, name)) if words else _numbers(column, name)
    if name in found.fields:
        rows, value = found.table.num_rows, found.fields[name]
        if words:
            return _words([value] * rows)
        return Values(np.full(rows, _number(value, name)), np.zeros(rows, bool))
    return None


def _numbers(column: pa.ChunkedArray, name: str) -> Values:
    import pyarrow as pa

    try:
        floats = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(f"column {name!r} is not of numbers: {error}") from error
    absent = column.is_null().to_numpy()
    return Values(floats.fill_null(np.nan).to_numpy().astype(np.float64), absent.astype(bool))


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"field {name!r} is no number: {str(value)[:80]!r}") from error


def _listed(column: pa.ChunkedArray, name: str) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError as error:
        raise SourceError(f"column {name!r} is not of words: {error}") from error


def _words(values: list[Any]) -> Values:
    absent = np.array([value is None for value in values], bool)
    return Values(np.full(len(values), np.nan), absent, values)


def _unknown(found: Found, name: str, known: Mapping[str, Values]) -> SourceError:
    there = [*found.table.column_names, *found.fields, *known]
    return SourceError(f"no column or field {name[:200]!r}", hint=nearest(name[:200], there[:500]) if there else None)
