"""Numbers of every library as they are logged: what lies on a device stays there until the points are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_PLAIN = frozenset((float, int, bool, type(None)))


def are_plain(values: Iterable[object]) -> bool:
    """Whether all are numbers of Python, which need nothing of what follows."""
    return _PLAIN.issuperset(map(type, values))


def kept(value: Any) -> Any:
    """A number as it is now, whatever becomes of the tensor that holds it, without a wait for the device.

    A tensor is copied where it is, off the graph of its gradients, which would stay in memory with it.
    """
    if type(value) in _PLAIN or not hasattr(value, "item"):
        return value
    try:
        if str(getattr(value, "device", "cpu")) == "cpu":
            return value.item()
        return value.detach().clone() if hasattr(value, "detach") else value
    except Exception:  # of whatever library the value is; :func:`number` says that it is none
        return value


def number(value: Any) -> float | None:
    """What :func:`kept` kept, once the device has it.

    Raises:
        TypeError, ValueError: it is no number.
    """
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    return float(value.item() if hasattr(value, "item") else value)
