"""Where the kernels can run, and that they did."""

from __future__ import annotations

import triton
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.dispatch import record


def interpreted() -> bool:
    """Whether Triton interprets its kernels on the CPU instead of compiling them."""
    return bool(triton.knobs.runtime.interpret)


def admit(op: str, name: str, tensor: Tensor) -> None:
    """Note that Triton runs ``op``, for ``last_dispatch()``; KernelError where ``tensor`` is on no GPU."""
    refuse_host(op, name, tensor)
    record(op, "triton")


def refuse_host(op: str, name: str, tensor: Tensor) -> None:
    """Raise KernelError where ``tensor`` is not on a GPU, unless Triton interprets its kernels."""
    if tensor.device.type != "cuda" and not interpreted():
        raise KernelError(
            f"{op}: {name} is on {tensor.device}; Triton kernels run on a GPU",
            hint="isoflop.kernels.reference runs on every device",
        )
