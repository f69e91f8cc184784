"""Where the kernels can run."""

from __future__ import annotations

import triton
from torch import Tensor

from isoflop.errors import KernelError


def interpreted() -> bool:
    """Whether Triton interprets its kernels on the CPU instead of compiling them."""
    return bool(triton.knobs.runtime.interpret)


def refuse_host(op: str, name: str, tensor: Tensor) -> None:
    """Raise KernelError where ``tensor`` is not on a GPU, unless Triton interprets its kernels."""
    if tensor.device.type != "cuda" and not interpreted():
        raise KernelError(
            f"{op}: {name} is on {tensor.device}; Triton kernels run on a GPU",
            hint="isoflop.kernels.reference runs on every device",
        )
