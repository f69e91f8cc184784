"""How long a model takes on devices that share it out: the time of a step by arithmetic, and with it of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from isoflop.errors import PlanError, nearest
from isoflop.planning.page import Shown

if TYPE_CHECKING:
    from isoflop.counting.footprint import Recompute
    from isoflop.hardware import Device
    from isoflop.planning.concrete import Concrete

OPTIONS = ("dp", "tp", "pp", "ep", "zero")
"""Of a layout: replicas, tensor-parallel devices, pipeline stages, expert-parallel groups, the stage of ZeRO."""


@dataclass(frozen=True)
class LaidOut(Shown):
    """A training of a shape on devices that share it out.

    Attributes:
        device, count: what computes: dp tp pp of it.
        layout: its options, each that was given.
        batch_tokens: of a step, all replicas together; ``microbatches`` of ``sequences`` each make a replica's part.
        efficiency: of the peak that matrix products are taken to reach.
        step_seconds: of a step, nothing overlapped, and ``parts``: where they go.
        mfu: of a step, by the convention of the shape.
        days: of the tokens that the budget buys.
        bytes: of one device, and ``memory`` that it has.
    """

    device: str
    count: int
    layout: Mapping[str, int]
    batch_tokens: int
    sequences: int
    microbatches: int
    efficiency: float
    step_seconds: float
    parts: Mapping[str, float]
    mfu: float
    days: float
    bytes: float
    memory: float

    @property
    def fits(self) -> bool:
        """Whether a device holds its part."""
        return self.bytes <= self.memory

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"fits": self.fits}

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.layout.items())
        where = sorted(self.parts.items(), key=lambda part: -part[1])
        shares = ", ".join(f"{name} {share:.0%}" for name, s in where if (share := s / self.step_seconds) >= 0.005)
        step = f"a step of {self.batch_tokens:,} tokens in {self.step_seconds:.4g} s"
        parts = f"{self.microbatches} microbatches of {self.sequences} sequences"
        held = f"a device of {self.memory / 1e9:.4g} GB holds {self.bytes / 1e9:.4g}"
        return (
            f"{self.count:,} {self.device} as {options}: {step}, {self.mfu:.1%} MFU, {self.days:.4g} days\n"
            f"  by arithmetic, products at {self.efficiency:.0%} of the peak, nothing overlapped: {shares}\n"
            f"  {parts}; {held}{'' if self.fits else ': TOO MUCH'}"
        )


def lay_out(
    concrete: Concrete, on: str | Device, *, batch_tokens: float, sequences: int = 1, efficiency: float = 1.0,
    recompute: Recompute = "none", link: float | None = None, network: float | None = None, **layout: int,
) -> LaidOut:  # fmt: skip
    """Time of a step and of the training of a shape, by the roofline of a device and of what connects it.

    Args:
        concrete: the shape of a plan, and its tokens.
        on: a device or its name.
        batch_tokens: of an optimizer's step.
        sequences: of one microbatch of one replica.
        efficiency: of the peak that matrix products reach; what devices reach in practice is below 1.
        recompute: "none", "attention" or "full".
        link, network: bytes/s that a device sends, one direction, within its node and beyond; default the device's.
        layout: ``dp``, ``tp``, ``pp``, ``ep`` and ``zero``, as in :class:`isoflop.counting.layout.Layout`.

    Raises:
        PlanError: an option that no layout has, or a batch that is no whole number of microbatches.
        SpecError: a layout that does not divide the shape, an unknown device, or a link that nobody published.
    """
    from isoflop.counting.footprint import memory
    from isoflop.counting.roofline import step_time
    from isoflop.hardware import device

    for name in layout:
        if name not in OPTIONS:
            raise PlanError(f"a layout has no option {name!r}", hint=nearest(name, OPTIONS))
    shape, one = concrete.shape, device(on)
    tokens = layout.get("dp", 1) * sequences * shape.n_ctx
    microbatches = round(batch_tokens / tokens)
    if microbatches < 1 or microbatches * tokens != batch_tokens:
        best = max(microbatches, 1) * tokens
        raise PlanError(
            f"a batch of {batch_tokens:,.0f} tokens is no whole number of microbatches: {layout.get('dp', 1)} replicas "
            f"of {sequences} sequences of {shape.n_ctx} take {tokens:,}",
            hint=f"a batch of {best:,} tokens",
        )
    split: Any = dict(layout) | {"microbatches": microbatches}
    step = step_time(
        shape, one, batch=sequences, efficiency=efficiency, recompute=recompute, link=link, network=network, **split
    )
    held = memory(shape, batch=sequences, recompute=recompute, dropout=False, **split)
    return LaidOut(
        device=one.name,
        count=step.n_devices,
        layout=dict(layout),
        batch_tokens=int(batch_tokens),
        sequences=sequences,
        microbatches=microbatches,
        efficiency=efficiency,
        step_seconds=step.seconds,
        parts=dict(step.parts),
        mfu=step.mfu(concrete.convention),
        days=concrete.n_tokens / step.tokens_per_second / 86_400,
        bytes=float(held.total),
        memory=one.memory,
    )
