"""What counting adds to a model's own time: isoflop.trace against torch's FlopCounterMode, turn by turn in one run.

As in timeit, the garbage collector rests while a turn is timed.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import isoflop as iso  # noqa: E402
from isoflop.train.model import Transformer  # noqa: E402
from shapes import LLAMA  # noqa: E402

TURNS = 25
GPT2 = iso.Shape(n_layer=12, d_model=64, n_head=4, n_ctx=32, n_vocab=512)
LLAMA_LIKE = iso.Shape(n_layer=12, d_model=64, n_head=4, n_kv_head=2, n_ctx=32, n_vocab=512, **LLAMA)


def seconds(counter: Callable[[], AbstractContextManager[object]], step: Callable[[], None]) -> float:
    """CPU time, so that other processes count less."""
    gc.collect()
    gc.disable()
    begin = time.process_time()
    with counter() as counted:
        step()
    read(counted)
    taken = time.process_time() - begin
    gc.enable()
    return taken


def read(counted: object) -> None:
    if isinstance(counted, FlopCounterMode):
        counted.get_total_flops()
    elif isinstance(counted, iso.Trace):
        assert counted.total.products > 0


@pytest.mark.benchmark(group="time added by counting")
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward-backward"])
@pytest.mark.parametrize("shape", [GPT2, LLAMA_LIKE], ids=["gpt2", "llama"])
def test_a_trace_adds_at_most_a_third_of_what_torchs_counter_adds(
    benchmark, shape: iso.Shape, backward: bool, device: str
) -> None:
    torch.set_num_threads(1)
    model = Transformer(shape).to(device)
    tokens = torch.zeros(2, shape.n_ctx, dtype=torch.int64, device=device)

    def step() -> None:
        with torch.set_grad_enabled(backward):
            loss = model(tokens, tokens)
        if backward:
            loss.backward()

    counters = {
        "plain": nullcontext,
        "isoflop": iso.trace,
        "isoflop with modules": lambda: iso.trace(model),
        "FlopCounterMode": lambda: FlopCounterMode(display=False),
    }
    for counter in counters.values():
        seconds(counter, step)
    taken: dict[str, list[float]] = {name: [] for name in counters}

    def turn() -> None:
        for name, counter in counters.items():
            taken[name].append(seconds(counter, step))

    benchmark.pedantic(turn, rounds=TURNS)
    median = {name: statistics.median(times) for name, times in taken.items()}
    # Within a turn the machine is the same for all: what a counter adds is the median of those differences.
    added = {
        name: statistics.median(time - plain for time, plain in zip(times, taken["plain"], strict=True))
        for name, times in taken.items()
    }
    ratios = {name: added[name] / added["FlopCounterMode"] for name in ("isoflop", "isoflop with modules")}
    benchmark.extra_info |= {"median_ms": {name: 1e3 * time for name, time in median.items()}, "ratio": ratios}
    print({name: f"{1e3 * time:.2f} ms" for name, time in median.items()}, ratios)
    assert max(ratios.values()) <= 1 / 3
