"""A device's ceilings and kernels under them, as a figure shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kernel:
    """One op under a roof.

    Attributes:
        name: of the op and its pass.
        intensity: FLOPs a byte.
        rate: FLOP/s that it reaches, or could at most.
    """

    name: str
    intensity: float
    rate: float


@dataclass(frozen=True)
class Roof:
    """A device.

    Attributes:
        device: its name and dtype.
        peaks: FLOP/s by what computes: "matrix products", "vector units".
        bandwidth: bytes/s of its memory.
        kernels: what is drawn under it.
        measured: whether the kernels were timed; else they are where the roof lets them be.
    """

    device: str
    peaks: dict[str, float]
    bandwidth: float
    kernels: tuple[Kernel, ...]
    measured: bool
