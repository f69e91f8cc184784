"""What waits for many files waits for them together, keeps their order, and does not run ahead."""

from __future__ import annotations

import threading

import pytest

from isoflop.runs.together import AT_ONCE, together


def test_as_many_are_waited_for_at_once_as_is_said() -> None:
    met = threading.Barrier(AT_ONCE, timeout=20)

    def meet(item: int) -> int:
        met.wait()  # none goes on before all are here
        return item

    assert list(together(meet, range(2 * AT_ONCE))) == list(range(2 * AT_ONCE))


def test_what_is_not_asked_for_is_not_done() -> None:
    done: list[int] = []
    answers = together(lambda item: done.append(item), range(10**9))
    next(answers)
    assert len(done) <= AT_ONCE
    answers.close()


def test_the_first_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        list(together(lambda item: 1 / item, [1, 2, 0, 4]))
