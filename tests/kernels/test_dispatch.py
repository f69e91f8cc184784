"""Which implementation ran is told, in any thread, and nothing else is."""

from __future__ import annotations

from threading import Thread

import pytest

from isoflop.errors import KernelError
from isoflop.kernels.dispatch import last_dispatch, record


def test_the_last_implementation_of_each_op_is_told() -> None:
    record("attention", "sdpa")
    record("norm", "reference")
    record("attention", "triton")
    assert last_dispatch()["attention"] == "triton"
    assert last_dispatch()["norm"] == "reference"


def test_what_another_thread_ran_is_told_too() -> None:
    record("attention_backward", "triton")
    thread = Thread(target=record, args=("attention_backward", "sdpa"))
    thread.start()
    thread.join()
    assert last_dispatch()["attention_backward"] == "sdpa"


def test_what_was_told_does_not_change() -> None:
    record("attention", "sdpa")
    told = last_dispatch()
    told["norm"] = "changed by its owner"
    record("attention", "triton")
    assert told["attention"] == "sdpa"
    assert last_dispatch().get("norm") != "changed by its owner"


def test_threads_that_record_and_ask_at_once_lose_nothing() -> None:
    def work(name: str) -> None:
        for _ in range(300):
            record(name, "triton")
            assert last_dispatch()[name] == "triton"

    names = [f"op {i}" for i in range(8)]
    threads = [Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {last_dispatch().get(name) for name in names} == {"triton"}


def test_an_unknown_implementation_is_refused_with_the_nearest() -> None:
    with pytest.raises(KernelError, match=r"no implementation 'tritn'\n  hint: did you mean 'triton'\?"):
        record("attention", "tritn")
