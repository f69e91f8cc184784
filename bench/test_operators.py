"""What the boundary of an operator costs its caller on the host: past torch's dispatcher, and through it.

The launchers launch nothing here and give empty tensors, so that the way to them is all there is to time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")
pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")

from isoflop.kernels import norm, norm_backward, operators  # noqa: E402

CALLS, TURNS = 300, 11


def microseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return 1e6 * (time.perf_counter() - began) / CALLS


@pytest.mark.benchmark(group="the boundary of one operator")
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward-backward"])
def test_the_way_past_the_dispatcher_costs_less(benchmark, backward: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    x, gain = torch.randn(1, 1, 16, requires_grad=backward), torch.ones(1, 16)

    def forward(x, gain, bias, **settings):
        return torch.empty_like(x), x, None, torch.empty(1, 1)

    def gradients(dy, total, gain, mean, rstd, **settings):
        return norm_backward.Gradients(torch.empty_like(total), torch.empty_like(gain), None, gain, None)

    monkeypatch.setattr(norm, "forward", forward)
    monkeypatch.setattr(norm_backward, "backward", gradients)

    def step(norm: Callable[[], torch.Tensor]) -> Callable[[], object]:
        return (lambda: torch.autograd.grad(norm(), x, x)) if backward else norm

    calls = {
        "direct": step(lambda: operators.norm(x, gain, kind="rms")),
        "through the dispatcher": step(lambda: torch.ops.isoflop.norm(x, gain, None, "rms", 1e-5)[0]),
        "no boundary": lambda: forward(x, gain, None) and backward and gradients(x, x, gain, None, None),
    }
    for call in calls.values():
        microseconds(call)
    taken: dict[str, list[float]] = {name: [] for name in calls}

    def turn() -> None:
        for name, call in calls.items():
            taken[name].append(microseconds(call))

    benchmark.pedantic(turn, rounds=TURNS)
    median = {name: statistics.median(times) for name, times in taken.items()}
    benchmark.extra_info |= {"us_a_call": median}
    print({name: f"{each:.1f} us" for name, each in median.items()})
    assert statistics.median(a - b for a, b in zip(taken["through the dispatcher"], taken["direct"], strict=True)) > 0
