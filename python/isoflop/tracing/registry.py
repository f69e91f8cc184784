"""What the user's own operations cost: one line each. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from isoflop._core import DTYPES, KINDS
from isoflop.errors import SpecError
from isoflop.tracing.ops import Op, custom

Formula = Callable[[Sequence[Any], dict[str, Any], Any], tuple[Op, ...]]
"""(args, kwargs, output) of a call -> the operations it runs."""

_NAME = re.compile(r"[A-Za-z_]\w*::[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_registered: dict[str, Formula] = {}
_listeners: list[Callable[[], None]] = []


def register(name: str, formula: Callable[..., float | Op | Sequence[Op]], *, replace: bool = False) -> None:
    """Count calls of the operation ``name`` by ``formula``: ``register("mine::gemm", lambda a, b, out: 2 * ...)``.

    Args:
        name: "namespace::op" for all overloads, or "namespace::op.overload"; higher-order operators are
            "higher_order::op". A registered formula goes before a built-in one.
        formula: called with the operation's arguments and ``out``, its result; returns FLOPs (counted with the matrix
            products), one :data:`~isoflop.tracing.ops.Op`, or a sequence of them.
        replace: allow a name that is registered already.

    Raises:
        SpecError: a malformed or taken name, a formula that cannot be called; and, while tracing, a formula that fails
            or returns something else.
    """
    if not _NAME.fullmatch(str(name)):
        raise SpecError(f"operation {name!r} is not named as 'namespace::op' or 'namespace::op.overload'")
    if not callable(formula):
        raise SpecError(f"the formula of {name} is {formula!r}, which cannot be called")
    if name in _registered and not replace:
        raise SpecError(f"{name} has a formula already", hint="register(..., replace=True)")
    _registered[name] = _checked(name, formula)
    _announce()


def unregister(name: str) -> None:
    """Forget the formula of ``name``.

    Raises:
        SpecError: it has none.
    """
    if _registered.pop(name, None) is None:
        raise SpecError(f"{name} has no registered formula")
    _announce()


def registered(name: str) -> Formula | None:
    """The formula of "namespace::op.overload", or else of "namespace::op"; None where neither is registered."""
    return _registered.get(name) or _registered.get(name.partition(".")[0])


def on_change(listener: Callable[[], None]) -> None:
    """Call ``listener`` whenever a formula is registered or forgotten."""
    _listeners.append(listener)


def _announce() -> None:
    for listener in _listeners:
        listener()


def _checked(name: str, formula: Callable[..., float | Op | Sequence[Op]]) -> Formula:
    def counted(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> tuple[Op, ...]:
        try:
            result = formula(*args, **kwargs, out=out)
        except Exception as error:
            raise SpecError(f"the formula of {name} failed: {type(error).__name__}: {error}") from error
        return _as_ops(name, result)

    return counted


def _as_ops(name: str, result: Any) -> tuple[Op, ...]:
    if isinstance(result, (int, float)) and not isinstance(result, bool):
        if not 0 <= result < 2**63 or result != int(result):
            raise SpecError(f"the formula of {name} returned {result!r}; FLOPs are a whole number below 2**63")
        return (custom(int(result)),)
    ops = (result,) if _is_op(result) else result
    if isinstance(ops, Sequence) and all(map(_is_op, ops)):
        return tuple(ops)
    raise SpecError(f"the formula of {name} returned {result!r}; it must return FLOPs or operations of isoflop.tracing")


def _is_op(value: Any) -> bool:
    if not isinstance(value, tuple) or len(value) < 3 or not isinstance(value[0], str) or value[0] not in KINDS:
        return False
    dims, dtypes = value[3:], [str(dtype).removeprefix("torch.") for dtype in value[1:3]]
    whole = all(isinstance(dim, int) and not isinstance(dim, bool) and 0 <= dim < 2**63 for dim in dims)
    return whole and len(dims) == len(KINDS[value[0]].split()) and all(dtype in DTYPES for dtype in dtypes)
