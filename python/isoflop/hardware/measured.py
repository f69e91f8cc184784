"""What this machine was measured to do: matrix products and copies on its CPU, and on a GPU where torch sees one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from isoflop.errors import MissingExtra, require
from isoflop.hardware.machine import memory_bytes

_SIZES = (256, 512, 1024, 2048, 4096, 8192)
_LONG_ENOUGH = 0.02  # seconds: a product this long hides what starting it costs
_COPY_BYTES = 2**28  # beyond the last cache of today's CPUs


@dataclass(frozen=True)
class Ceiling:
    """The best of several repetitions.

    Attributes:
        kind: "matmul" (square matrices, 2 n^3 FLOPs) or "copy" (bytes read plus bytes written).
        where: "cpu", or the GPU's name.
        library: what did it.
        dtype: of the operands; bytes for a copy.
        size: n of the matrices, or the bytes copied.
        rate: FLOP/s, or bytes/s.
        repetitions: of which this is the best.
    """

    kind: Literal["matmul", "copy"]
    where: str
    library: str
    dtype: str
    size: int
    rate: float
    repetitions: int


def peak_of_this_machine(budget: float = 1.2) -> tuple[Ceiling, ...]:
    """Measured ceilings of matrix products and copies; about ``budget`` seconds, and torch's import where it is new.

    On the CPU NumPy in fp32 and fp64, and torch in fp32 and bf16 where it is installed; on each library's own threads.
    On the first GPU that torch sees bf16, fp16 and fp32, as torch is set up. Sizes grow until one product takes 20 ms,
    or a quarter of its share of the budget is gone. These are lower bounds of what the machine can do: other work
    slows them.
    """
    jobs = [*_numpy_jobs(), *_torch_jobs()]
    share = budget / len(jobs)
    return tuple(job(share) for job in jobs)


_Job = Callable[[float], Ceiling]


def _numpy_jobs() -> Iterator[_Job]:
    import numpy as np

    def matmul(dtype: str) -> _Job:
        def product(n: int) -> Callable[[], object]:
            a = np.ones((n, n), dtype=dtype)
            out = np.empty_like(a)
            return lambda: np.matmul(a, a, out=out)

        return lambda share: _best_product(product, share, "cpu", "numpy", dtype)

    yield matmul("float32")
    yield matmul("float64")
    size = min(_COPY_BYTES, (memory_bytes() or _COPY_BYTES * 16) // 16)

    def copy(share: float) -> Ceiling:
        source = np.ones(size, dtype=np.uint8)
        target = np.zeros_like(source)
        seconds, count = _best(lambda: np.copyto(target, source), share)
        return Ceiling("copy", "cpu", "numpy", "uint8", size, 2 * size / seconds, count)

    yield copy


def _torch_jobs() -> Iterator[_Job]:
    try:
        torch = require("torch", extra="train")
    except MissingExtra:
        return

    def matmul(place: str, name: str, dtype: str) -> _Job:
        def product(n: int) -> Callable[[], object]:
            column, row = (torch.rand(size, device=place) - 0.5 for size in ((n, 1), (1, n)))
            a = (column * row).to(getattr(torch, dtype))  # a GPU is faster on ones
            out = torch.empty_like(a)

            def once() -> None:
                torch.mm(a, a, out=out)
                if place != "cpu":
                    torch.cuda.synchronize()

            return once

        return lambda share: _best_product(product, share, name, "torch", dtype)

    yield matmul("cpu", "cpu", "float32")
    yield matmul("cpu", "cpu", "bfloat16")
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        for dtype in ("bfloat16", "float16", "float32"):
            yield matmul("cuda", name, dtype)
        yield lambda share: _gpu_copy(torch, name, share)


def _gpu_copy(torch: Any, name: str, share: float) -> Ceiling:
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.zeros_like(source)

    def once() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    seconds, count = _best(once, share)
    return Ceiling("copy", name, "torch", "uint8", _COPY_BYTES, 2 * _COPY_BYTES / seconds, count)


def _best_product(
    product: Callable[[int], Callable[[], object]], share: float, where: str, library: str, dtype: str
) -> Ceiling:
    product(_SIZES[0])()  # what a library does at its first product can take seconds
    begun = time.perf_counter()
    for n in _SIZES:
        once = product(n)
        seconds = min(_best(once, 0)[0] for _ in range(3))
        if seconds >= _LONG_ENOUGH or time.perf_counter() - begun > share / 4:
            break
    again, more = _best(once, share - (time.perf_counter() - begun))
    return Ceiling("matmul", where, library, dtype, n, 2 * n**3 / min(seconds, again), 3 + more)


def _best(once: Callable[[], object], budget: float) -> tuple[float, int]:
    """Shortest time of a call and the number of calls, at least one, until the budget of seconds is spent."""
    shortest, count, end = float("inf"), 0, time.perf_counter() + budget
    while count == 0 or time.perf_counter() < end:
        begun = time.perf_counter()
        once()
        shortest = min(shortest, time.perf_counter() - begun)
        count += 1
    return shortest, count
