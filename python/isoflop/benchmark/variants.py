"""Ways to run one op: its kernels, on a CPU its C++, torch's own operations, those compiled, and CUDA graphs of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from isoflop.benchmark.case import Case
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.correctness import cotangents
from isoflop.benchmark.native import in_cpp
from isoflop.benchmark.sizes import Size, Tensors, of_model
from isoflop.benchmark.timing import Call

EXPLAINED = {
    "kernels": "isoflop.kernels, all models in one launch",
    "kernels+graph": "the same, replayed as a CUDA graph",
    "native": "the ops in C++, all models in one call",
    "eager": "the definition in plain torch, one model after another",
    "compile": "the same under torch.compile",
    "compile+graph": "the same under torch.compile, replayed as a CUDA graph",
}
"""What a column is the time of."""


def variants(
    op: str, size: Size, dtype: torch.dtype, device: torch.device, *, kernels: bool, compiled: bool, both: bool
) -> Iterator[tuple[str, Callable[[], Call]]]:  # fmt: skip
    """The name of each way, and what makes the call that is timed: forward, or forward and backward where ``both``."""
    case = CASES[op]
    tensors = case.draw(size, dtype, device)
    graphs = device.type == "cuda"
    if kernels:
        yield "kernels", lambda: by_kernels(case, tensors, both=both)
        if graphs:
            yield "kernels+graph", lambda: graph(by_kernels(case, tensors, both=both))
    elif (native := in_cpp(op, dtype, device)) is not None:
        yield "native", lambda: by_kernels(native, tensors, both=both)
    define = case.define_one(size)
    yield "eager", lambda: by_definition(case, tensors, define, both=both)
    if compiled:
        torch.compiler.reset()  # it compiles one function, as all definitions are to it, a few times and then no more
        made = torch.compile(define, dynamic=False)
        yield "compile", lambda: by_definition(case, tensors, made, both=both)
        if graphs:
            yield "compile+graph", lambda: graph(by_definition(case, tensors, made, both=both))


def by_kernels(case: Case, tensors: Tensors, *, both: bool) -> Call:
    """The op by its launchers, or its functions in C++, into buffers that the first call made."""
    state = case.forward(tensors, None)
    backward = case.backward if both else None
    if backward is None:
        return lambda: case.forward(tensors, state)
    grads = cotangents(case.results(state))
    made = backward(tensors, state, grads, None)
    if case.at_once:
        return lambda: backward(tensors, state, grads, made)

    def call() -> object:
        return backward(tensors, case.forward(tensors, state), grads, made)

    return call


def by_definition(
    case: Case, tensors: Tensors, define: Callable[[Tensors], tuple[Tensor, ...]], *, both: bool
) -> Call:  # fmt: skip
    """The op by torch, one model after another, differentiated by autograd where ``both``; nothing is stacked."""
    first = next(iter(tensors.values()))
    models = [of_model(tensors, k) for k in range(len(first[0] if isinstance(first, list) else first))]
    if not both or case.backward is None:

        def forward() -> object:
            with torch.no_grad():
                return [define(each) for each in models]

        return forward
    leaves = [{name: each[name].detach().requires_grad_() for name in case.gradients} for each in models]
    given = [(each | own, list(own.values())) for each, own in zip(models, leaves, strict=True)]
    grads = cotangents(define(given[0][0]))

    def call() -> object:
        return [torch.autograd.grad(define(each), wanted, grads) for each, wanted in given]

    return call


def graph(call: Call) -> Call:
    """``call`` as a CUDA graph, captured after three calls on a stream of its own; it keeps what ``call`` keeps."""
    side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        call()

    def replay(owner: Call = call) -> None:  # whose tensors the graph reads and writes where they lie
        captured.replay()

    return replay
