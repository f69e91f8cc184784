"""Work on all cores: threads, since the compiled loops and the readers of pages leave Python alone."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from isoflop import hardware

Result = TypeVar("Result")
Task = TypeVar("Task")


@cache
def cores() -> int:
    """Whole cores that this process may use."""
    return max(1, int(hardware.cores()))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="isoflop")


# a thread started beside a busy one waits a millisecond for its turn, so that they stay; a fork has none of them
os.register_at_fork(after_in_child=_pool.cache_clear)


def in_threads(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """``work`` on every task, on all cores; results in the order of the tasks, few of them waiting.

    ``work`` must not call this itself: the threads are few, and would wait for each other.
    """
    threads, tasks = cores(), iter(tasks)
    pool = _pool(threads)
    waiting: collections.deque[Future[Result]] = collections.deque()
    try:
        for task in itertools.islice(tasks, 2 * threads):
            waiting.append(pool.submit(work, task))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, task) for task in itertools.islice(tasks, 1))
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)
