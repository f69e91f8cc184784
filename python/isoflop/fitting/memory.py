"""Memory for numbers that stays between fits."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_IDLE = 2**23
"""Numbers that stay for the next fit."""

_idle: dict[int, list[Array]] = {}
_counting = threading.Lock()


def lend(size: int) -> Array:
    """Memory for numbers, (size,): of an earlier fit where there is any.

    New pages come from the system one at a time, zeroed: of a million points they took as long as their logarithms.
    """
    with _counting:
        found = _idle.get(size)
        return found.pop() if found else np.empty(size)


def take_back(numbers: Array) -> None:
    """Keep it for the next fit; all that is kept is no more than 64 MiB, other sizes go first."""
    with _counting:
        if sum(size * len(some) for size, some in _idle.items()) + numbers.size > _IDLE:
            _idle.clear()
        if numbers.size <= _IDLE:
            _idle.setdefault(numbers.size, []).append(numbers)
