"""Triton's CPU interpreter made stricter than it is: honest bfloat16, any order of programs, fenced memory.

The interpreter of triton 3.9 keeps bfloat16 as bit patterns: it truncates where a GPU rounds to nearest even, and its
arithmetic multiplies and adds the patterns. Here casts round, ``tl.dot`` accumulates in float32, and any other bfloat16
arithmetic is an error. NumPy's products round an element of A B and the same one of its transpose, B^T A^T, apart on
some processors, which no GPU does: both are made by one call here. The interpreter's programs run in order, which hides
races; ``order`` runs them in another.
"""

from __future__ import annotations

import builtins
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import triton.language as tl
from torch import Tensor
from triton.runtime import interpreter

ORDERS: dict[str, Callable[[list[int]], Any]] = {
    "forward": lambda programs: None,
    "reversed": lambda programs: programs.reverse(),
    "shuffled": lambda programs: random.Random(0).shuffle(programs),
}
LAUNCH = interpreter.GridExecutor.__call__.__code__
FENCE = 256  # elements on each side of a fenced tensor


@contextmanager
def order(name: str) -> Iterator[None]:
    """Run the programs of every launch forward, reversed or shuffled, along each axis of the grid."""

    def ordered(programs: builtins.range) -> list[int]:
        listed = list(programs)
        ORDERS[name](listed)
        return listed

    with _programs(ordered):
        yield


@contextmanager
def last_programs() -> Iterator[None]:
    """Run the last program of every launch alone, along each axis of the grid, and touch no memory but its own."""
    with (
        _programs(lambda programs: programs[-1:]),
        patch.object(interpreter.GridExecutor, "_restore_args_dev", lambda *_: None),
    ):
        yield


@contextmanager
def _programs(chosen: Callable[[builtins.range], Iterable[int]]) -> Iterator[None]:
    def of_grid(*args: int) -> Iterable[int]:
        indices = builtins.range(*args)
        return chosen(indices) if sys._getframe(1).f_code is LAUNCH else indices

    with patch.object(interpreter, "range", of_grid, create=True):
        yield


def fenced(tensor: Tensor) -> Tensor:
    """A copy amid NaN: what is read past its ends poisons the result."""
    buffer = torch.full((tensor.numel() + 2 * FENCE,), torch.nan, dtype=tensor.dtype)
    inner = buffer[FENCE : FENCE + tensor.numel()].view(tensor.shape)
    return inner.copy_(tensor)


@contextmanager
def fenced_empties() -> Iterator[list[tuple[Tensor, Tensor]]]:
    """``torch.empty`` and ``empty_like`` give NaN (integers nought) amid marks; on leaving, every mark must stand.

    What was never written stays NaN; what is written past an end is found here.
    """
    made: list[tuple[Tensor, Tensor]] = []
    empty, empty_like = torch.empty, torch.empty_like

    def marked(*shape: int, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
        numel = int(np.prod(shape))
        buffer = torch.full((numel + 2 * FENCE,), 77.0, dtype=dtype)
        inner = buffer[FENCE : FENCE + numel]
        made.append((buffer, inner))
        return inner.fill_(torch.nan if buffer.is_floating_point() else 0).view(shape)

    torch.empty, torch.empty_like = marked, lambda like: marked(*like.shape, dtype=like.dtype)
    try:
        yield made
    finally:
        torch.empty, torch.empty_like = empty, empty_like
    for buffer, inner in made:
        fences = torch.cat((buffer[:FENCE], buffer[FENCE + inner.numel() :]))
        assert (fences == buffer.new_full((), 77.0)).all(), "a program wrote past the end of its tensor"


def patch_the_language_once_a_launch() -> None:
    """Of this process: what a launch has patched stays patched until it ends, whatever device functions it calls.

    Triton's interpreter goes through all names of its language at every such call, to find them patched already: two
    fifths of the time of these tests.
    """
    patch_language, restore = interpreter._patch_lang, interpreter._LangPatchScope.restore
    patched: set[str] = set()

    def once(fn: Callable[..., Any]) -> Any:
        languages = {each.__name__ for each in (tl, tl.core) if any(value is each for value in fn.__globals__.values())}
        if languages and languages <= patched:
            return interpreter._LangPatchScope()
        scope = patch_language(fn)
        patched.update(languages)
        return scope

    def restored(scope: Any) -> None:
        restore(scope)
        patched.clear()

    interpreter._patch_lang, interpreter._LangPatchScope.restore = once, restored


def widen(bits: np.ndarray) -> np.ndarray:
    """float32 of bfloat16 bit patterns."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow(values: np.ndarray) -> np.ndarray:
    """bfloat16 bit patterns of float32, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def make_bfloat16_honest() -> None:
    """Patch the interpreter of this process."""
    builder = interpreter.InterpreterBuilder
    cast, round_to, dot = builder.cast_impl, builder.create_fp_to_fp, builder.create_dot

    def honest_cast(self: Any, source: Any, target: Any) -> Any:
        before, after = source.dtype.scalar, target.scalar
        if before == tl.bfloat16 and after != tl.bfloat16:
            wide = interpreter.TensorHandle(widen(source.data), tl.float32)
            return wide if after == tl.float32 else cast(self, wide, target)
        if after == tl.bfloat16 and before != tl.bfloat16:
            return interpreter.TensorHandle(narrow(source.data.astype(np.float32)), tl.bfloat16)
        return cast(self, source, target)

    def honest_round(self: Any, source: Any, target: Any, mode: Any) -> Any:
        if tl.bfloat16 in (source.dtype.scalar, target.scalar):
            return honest_cast(self, source, target)
        return round_to(self, source, target, mode)

    def honest_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        if is_bfloat16(a) != is_bfloat16(b):
            raise TypeError("tl.dot of bfloat16 and another dtype")
        if is_bfloat16(a):
            a, b = (interpreter.TensorHandle(widen(each.data), tl.float32) for each in (a, b))
        rows, columns = a.data.shape[-2], b.data.shape[-1]
        if rows > columns or (rows == columns and a.data.flat[0] > b.data.flat[0]):
            return turned(dot(self, turned(b), turned(a), turned(rest[0]), *rest[1:]))
        return dot(self, solid(a), solid(b), *rest)

    def refusing(operation: Callable[..., Any], operands: int) -> Callable[..., Any]:
        def checked(self: Any, *args: Any) -> Any:
            if any(is_bfloat16(each) for each in args[:operands]):
                raise TypeError("bfloat16 arithmetic: cast to float32 first")
            return operation(self, *args)

        return checked

    builder.cast_impl, builder.create_fp_to_fp, builder.create_dot = honest_cast, honest_round, honest_dot
    builder.binary_op, builder.unary_op = refusing(builder.binary_op, 2), refusing(builder.unary_op, 1)
    builder.ternary_op = refusing(builder.ternary_op, 1)


def turned(handle: Any) -> Any:
    """The transpose of a matrix, in memory of its own."""
    return interpreter.TensorHandle(np.ascontiguousarray(np.swapaxes(handle.data, -1, -2)), handle.dtype)


def solid(handle: Any) -> Any:
    """The matrix row by row in memory."""
    return interpreter.TensorHandle(np.ascontiguousarray(handle.data), handle.dtype)


def is_bfloat16(handle: Any) -> bool:
    dtype = getattr(handle, "dtype", None)
    return dtype is not None and dtype.scalar == tl.bfloat16 and not dtype.is_ptr()
