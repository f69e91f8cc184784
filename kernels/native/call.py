"""How a launcher calls its op: at once, model after model, or into a program that is recorded to be run again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor

from isoflop import _core
from isoflop.errors import KernelError, nearest
from isoflop.kernels.dispatch import record

ENVIRONMENT = "ISOFLOP_CPU"
PRODUCTS = ("float32", "bfloat16")


class Recording(Protocol):
    """What takes the calls of launchers instead of running them."""

    def add(
        self, op: str, tensors: Sequence[Tensor | None], sizes: Sequence[int], settings: Sequence[float], kept: int
    ) -> None: ...

    def hold(self, constant: Tensor) -> None: ...


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)
_products: ContextVar[str] = ContextVar("products", default="float32")
_chosen: ContextVar[str | None] = ContextVar("instruction_set", default=None)


def instruction_set() -> str:
    """What ops are run with: the choice of ``use``, of the environment's ISOFLOP_CPU, or the widest there is."""
    usable = _core.usable_isas()
    asked = _chosen.get() or os.environ.get(ENVIRONMENT)
    if asked is None:
        return usable[-1]
    if asked not in usable:
        raise KernelError(f"this CPU runs no {asked!r}", hint=f"{nearest(asked, usable)}; it runs {', '.join(usable)}")
    return asked


@contextmanager
def use(*, instruction_set: str | None = None, products: str = "float32") -> Iterator[None]:
    """Run the ops within with an instruction set, and with matrix products of ``products``, float32 or bfloat16."""
    if products not in PRODUCTS:
        raise KernelError(f"products are {' or '.join(PRODUCTS)}, not {products!r}", hint=nearest(products, PRODUCTS))
    tokens = _chosen.set(instruction_set), _products.set(products)
    try:
        yield
    finally:
        _chosen.reset(tokens[0])
        _products.reset(tokens[1])


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """Hand the calls made within to ``recording``; none of them is run."""
    token = _recording.set(recording)
    try:
        yield
    finally:
        _recording.reset(token)


def constant(tensor: Tensor) -> Tensor:
    """``tensor``, made by torch and never written by an op: a recording reads it where it is."""
    recording = _recording.get()
    if recording is not None:
        recording.hold(tensor)
    return tensor


def bfloat16_products() -> bool:
    """Whether matrices are multiplied in bfloat16."""
    return _products.get() == "bfloat16"


def by_tiles() -> bool:
    """Whether matrices are multiplied in bfloat16 by tiles of rows and columns."""
    return bfloat16_products() and instruction_set() == "amx"


def call(
    op: str, tensors: Sequence[Tensor | None], sizes: Sequence[int] = (), settings: Sequence[float] = (), *,
    kept: int = 0,
) -> None:  # fmt: skip
    """``op`` of ``tensors``, each with the leading model axis K and dense behind it, in the order of the C++ op.

    ``kept`` bytes are the op's last tensor: memory of the thread, which the op fills where ``Context::first`` and finds
    as it was in later parts of the model.
    """
    record(op, "native")
    recording = _recording.get()
    if recording is not None:
        recording.add(op, tensors, sizes, settings, kept)
        return
    models = next(len(tensor) for tensor in tensors if tensor is not None)
    given = [*tensors, torch.empty(1, kept, dtype=torch.uint8).expand(models, kept)] if kept else tensors
    _core.run_op(
        op,
        instruction_set(),
        [0 if tensor is None else tensor.data_ptr() for tensor in given],
        [0 if tensor is None else tensor.stride(0) * tensor.itemsize for tensor in given],
        list(sizes),
        [float(value) for value in settings],
        models,
        bfloat16_products(),
    )


def packed_bytes(inner: int, width: int) -> int:
    """Room for a right-hand matrix (inner, width) as ``csrc/ops/products.hpp`` packs it, on any instruction set."""
    return 4 * max(inner, 16) * (-(-width // 16) * 16)


def refuse_device(op: str, tensor: Tensor) -> None:
    """Raise KernelError unless ``tensor`` is float32 on the host."""
    if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
        form = f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
        raise KernelError(f"{op}: the native op takes float32 tensors on the host, not {form}")
