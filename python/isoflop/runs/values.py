"""Numbers of every library as they are logged: what lies on a device stays there until the points are written."""

from __future__ import annotations

from typing import Any

_PLAIN = (float, int, bool, type(None))


def kept(value: Any) -> Any:
    """A number as it is now, whatever becomes of the tensor that holds it, without a wait for the device.

    A tensor is copied where it is, off the graph of its gradients, which would stay in memory with it.
    """
    if type(value) in _PLAIN or not hasattr(value, "item"):
        return value
    if str(getattr(value, "device", "cpu")) == "cpu":
        return value.item()
    return value.detach().clone() if hasattr(value, "detach") else value


def number(value: Any) -> float | None:
    """What :func:`kept` kept, once the device has it.

    Raises:
        TypeError, ValueError: it is no number.
    """
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    return float(value.item() if hasattr(value, "item") else value)
