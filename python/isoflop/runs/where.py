"""Which runs: a condition on the columns of a table of runs, as text, as fields or as an Arrow expression.

``"N >= 1e6 and spec.shape.d_model in [64, 128] and state == 'finished'"``, or ``{"d_model": [64, 128], "seed": 0}``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import TYPE_CHECKING, Any

from isoflop.errors import StoreError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: eq, ast.NotEq: ne, ast.Lt: lt, ast.LtE: le, ast.Gt: gt, ast.GtE: ge,
    ast.In: lambda field, values: _among(field, values),
    ast.NotIn: lambda field, values: ~_among(field, values),
    ast.Is: lambda field, _: field.is_null(),
    ast.IsNot: lambda field, _: ~field.is_null(),
}  # fmt: skip
_HINT = "such as \"N >= 1e6 and spec.seed in [0, 1] and state == 'finished'\""


def select(table: pa.Table, where: object) -> pa.Table:
    """The rows of a table for which ``where`` holds; all of them where it is None.

    A column may be called by the end of its name, ``d_model`` for ``spec.shape.d_model``, where no other ends so.

    Raises:
        StoreError: a column that is not there, or a condition that is none.
    """
    import pyarrow as pa

    if where is None:
        return table
    try:
        if isinstance(where, str):
            condition = _parsed(ast.parse(where.strip(), mode="eval").body, table.column_names)
        elif isinstance(where, Mapping):
            condition = _of_fields(where, table.column_names)
        else:
            condition = where
        return table.filter(condition)
    except (SyntaxError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot pick runs by {where!r}: {error}", hint=_HINT) from error


def named(name: str, known: Sequence[str]) -> str:
    """The column called ``name``, whole or by its end.

    Raises:
        StoreError: none is, or several are.
    """
    if name in known:
        return name
    ending = [column for column in known if column.endswith(f".{name}")]
    if len(ending) > 1:
        raise StoreError(f"{name!r} is the end of several columns", hint=f"one of {', '.join(ending)}")
    if not ending:
        raise StoreError(
            f"no run has a field {name!r}",
            hint=nearest(name, {*known, *(column.rpartition(".")[2] for column in known)}),
        )
    return ending[0]


def _of_fields(where: Mapping[str, object], known: Sequence[str]) -> Any:
    import pyarrow.compute as pc

    condition = pc.scalar(True)
    for name, value in where.items():
        field = pc.field(named(name, known))
        if isinstance(value, list | tuple | set):
            condition &= _among(field, list(value))
        else:
            condition &= field.is_null() if value is None else field == value
    return condition


def _among(field: Any, values: Sequence[Any]) -> Any:
    """Whether ``field`` is one of ``values``, of which there may be none."""
    import pyarrow.compute as pc

    return field.isin(list(values)) if values else pc.scalar(False)


def _parsed(node: ast.expr, known: Sequence[str]) -> Any:
    """An Arrow expression of a condition in Python's words."""
    match node:
        case ast.BoolOp(op, values):
            return reduce(and_ if isinstance(op, ast.And) else or_, (_parsed(value, known) for value in values))
        case ast.UnaryOp(ast.Not(), operand):
            return ~_parsed(operand, known)
        case ast.Compare(left, operators, others):
            sides = [left, *others]
            pairs = zip(operators, sides, sides[1:], strict=False)
            return reduce(and_, (_compared(operator, first, second, known) for operator, first, second in pairs))
    raise StoreError(f"{ast.unparse(node)!r} is no condition", hint=_HINT)


def _compared(operator: ast.cmpop, left: ast.expr, right: ast.expr, known: Sequence[str]) -> Any:
    real = _is_real(left) or _is_real(right)
    return _COMPARISONS[type(operator)](_side(left, known, real), _side(right, known, real))


def _side(node: ast.expr, known: Sequence[str], real: bool) -> Any:
    """A column, beside a number with a point as one of such numbers, or a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(node, ast.Name | ast.Attribute):
        field = pc.field(named(ast.unparse(node), known))
        return field.cast(pa.float64(), safe=False) if real else field
    value = ast.literal_eval(node)
    return list(value) if isinstance(value, list | tuple | set) else pc.scalar(value)


def _is_real(node: ast.expr) -> bool:
    """Whether it is, or holds, a number such as 1e7, to which Arrow would narrow whole numbers that do not fit."""
    return any(isinstance(part, ast.Constant) and isinstance(part.value, float) for part in ast.walk(node))
