"""What a kernel does in the interpreter, counted: products of matrices, and the bytes it reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from triton.runtime import interpreter


class Traffic:
    """Counts since the start: products, their FLOPs, and bytes of distinct elements read and written."""

    def __init__(self) -> None:
        self.products = 0
        self.flops = 0
        self._read: dict[int, set[int]] = {}
        self._written: dict[int, set[int]] = {}

    @property
    def read(self) -> int:
        return sum(size * len(seen) for size, seen in self._read.items())

    @property
    def written(self) -> int:
        return sum(size * len(seen) for size, seen in self._written.items())

    def moved(self, size: int) -> int:
        """Bytes read and written in elements of ``size`` bytes."""
        return size * (len(self._read.get(size, ())) + len(self._written.get(size, ())))

    def see(self, where: dict[int, set[int]], pointers: Any, mask: Any) -> None:
        size = pointers.get_element_ty().primitive_bitwidth // 8
        addresses, live = np.broadcast_arrays(pointers.data, mask.data)
        where.setdefault(size, set()).update(addresses[live].tolist())


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count what every program launched inside does."""
    builder, traffic = interpreter.InterpreterBuilder, Traffic()
    load, store, dot = builder.create_masked_load, builder.create_masked_store, builder.create_dot

    def counting_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        traffic.see(traffic._read, pointers, mask)
        return load(self, pointers, mask, *rest)

    def counting_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        traffic.see(traffic._written, pointers, mask)
        return store(self, pointers, value, mask, *rest)

    def counting_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        traffic.products += 1
        traffic.flops += 2 * a.data.size * b.data.shape[-1]
        return dot(self, a, b, *rest)

    builder.create_masked_load, builder.create_masked_store = counting_load, counting_store
    builder.create_dot = counting_dot
    try:
        yield traffic
    finally:
        builder.create_masked_load, builder.create_masked_store, builder.create_dot = load, store, dot
