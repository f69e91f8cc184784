"""Points on their way to the disk: numbers of every library, of which those on a device stay there until written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

_PLAIN = frozenset((float, int, bool, type(None)))


class Buffer:
    """The points since the last flush.

    Args:
        refuse: is told of what is no number, which is left out.

    Attributes:
        points: what :meth:`add` added.
        diverged_at: the step of the first loss that was not finite.
    """

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self.points: list[dict[str, Any]] = []
        self.diverged_at: int | None = None
        self._refuse = refuse
        self._all_plain = True
        self._encoder = msgspec.json.Encoder()

    def add(self, step: int, values: dict[str, Any]) -> None:
        point = {"step": step, **values}
        if _PLAIN.issuperset(map(type, point.values())):
            self._look_at(step, values.get("loss"))
        else:
            point = {name: kept(value) for name, value in point.items()}
            self._all_plain = False
        self.points.append(point)

    def lines(self) -> bytes:
        """All of them as whole lines of JSON, NaN as null, once every device has its numbers; none are left."""
        points = self.points if self._all_plain else [self._read(point) for point in self.points]
        self.points, self._all_plain = [], True
        return self._encoder.encode_lines(points)

    def numbers(self, values: Mapping[str, Any]) -> dict[str, float | None]:
        """Those of the values that are numbers, once every device has them."""
        told: dict[str, float | None] = {}
        for name, value in values.items():
            try:
                told[name] = _number(value)
            except Exception as error:  # of whatever library the value is
                self._refuse(f"{name} = {value!r:.60} is no number: {error}")
        return told

    def _read(self, point: Mapping[str, Any]) -> dict[str, float | None]:
        told = self.numbers(point)
        self._look_at(told.get("step"), told.get("loss"))
        return told

    def _look_at(self, step: float | None, loss: float | None) -> None:
        if loss is not None and not math.isfinite(loss) and self.diverged_at is None:
            self.diverged_at = int(step or 0)


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
    except Exception:  # of whatever library the value is; :func:`_number` says that it is none
        return value


def _number(value: Any) -> float | None:
    """What :func:`kept` kept, once the device has it.

    Raises:
        TypeError, ValueError: it is no number.
    """
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    return float(value.item() if hasattr(value, "item") else value)
