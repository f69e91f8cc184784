"""Work on all cores: its order, its errors, and processes that fork."""

from __future__ import annotations

import os
import threading

import pytest

from isoflop.fitting.threads import cores, in_threads


def test_results_come_in_the_order_of_the_tasks() -> None:
    release = threading.Event()

    def slow_first(task: int) -> int:
        # the first task ends after the second began, where there are threads for both
        if task == 0 and cores() > 1:
            assert release.wait(10)
        release.set()
        return task**2

    assert list(in_threads(slow_first, range(20))) == [task**2 for task in range(20)]


def test_an_error_is_that_of_the_first_bad_task_and_ends_the_rest() -> None:
    begun: list[int] = []

    def work(task: int) -> int:
        begun.append(task)
        if task >= 3:
            raise ValueError(f"task {task}")
        return task

    with pytest.raises(ValueError, match="task 3"):
        list(in_threads(work, range(1000)))
    count = len(begun)
    assert count < 100
    assert list(in_threads(lambda task: task, range(3))) == [0, 1, 2]
    assert len(begun) == count


def test_a_forked_process_has_threads_of_its_own() -> None:
    assert list(in_threads(abs, [-1])) == [1]
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = list(in_threads(abs, [-2, -3])) == [2, 3]
        finally:
            os._exit(not right)
    assert os.waitpid(child, 0)[1] == 0
