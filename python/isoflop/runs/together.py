"""Waiting for many files at once: each takes a while, on a busy disk as in an object store, and they wait together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16


def together(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What ``do`` makes of each of ``items``, in their order; no more than :data:`AT_ONCE` of them are ahead."""
    rest = iter(items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while some := list(islice(rest, AT_ONCE)):
            yield from pool.map(do, some)
