"""How the native engine divides a batch: into slots of gradients, and these into parts that stay in a core's cache."""

from __future__ import annotations

import math

from isoflop.errors import KernelError
from isoflop.shape import Shape

RESIDENT = 192 * 1024
"""Bytes of a part's residual stream, of which a dozen tensors of that size are live at once, in 2 MiB of cache."""
STREAMED = 1024 * 1024
"""The same where the weights come from memory for every part, and what parts there are is read and added to each."""
CACHED_WEIGHTS = 8 * 1024 * 1024
"""Bytes of parameters up to which they and their gradients stay in outer caches from part to part."""

SAVED = 1024 * 1024
"""Bytes that the MLP of a block may save for the backward pass: more are read as slowly as they are made anew."""


def slots_of(shape: Shape, batch: int, accumulate: int = 1) -> int:
    """Slots of a batch of so many sequences: two where it can be halved, so that two cores share that of one model.

    With experts, which balance their load in each of ``accumulate`` parts, as few as these are divided by.
    """
    if shape.n_expert is not None:
        return next((count for count in range(2, accumulate + 1) if accumulate % count == 0), 1)
    return 2 if batch % 2 == 0 else 1


def part_of(shape: Shape, batch: int, slots: int, accumulate: int = 1) -> int:
    """Sequences of a part: as many as stay in cache, as are in a batch over ``accumulate``, and as divide a slot.

    Experts see all of what they balance their load in: the batch over the least multiple of both.
    Raises KernelError where that does not divide it.
    """
    if shape.n_expert is not None:
        count = math.lcm(slots, accumulate)
        if batch % count:
            raise KernelError(f"a batch of {batch} sequences does not divide into {count} in which experts balance")
        return batch // count
    room = RESIDENT if 4 * shape.n_params <= CACHED_WEIGHTS else STREAMED
    whole, fit = batch // slots, min(room // (4 * shape.d_model * shape.n_ctx), batch // accumulate)
    return max(count for count in range(1, whole + 1) if whole % count == 0 and count <= max(fit, 1))


def saved_by_mlp(shape: Shape, rows: int) -> int:
    """Bytes that the MLP of a block saves of so many rows, where tiles multiply: activations and slopes, 16 bits each.

    None of a gated one, nor where they are more than stay in cache.
    """
    size = 4 * (-(-rows // 32) * 32) * (-(-shape.d_ff // 16) * 16)
    return 0 if shape.activation == "swiglu" or size > SAVED else size
