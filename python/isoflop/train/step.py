"""What the training loop asks of an engine: K models of one shape, updated and judged together, each on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from isoflop.hardware import available_bytes
from isoflop.train.footprint import refuse_past_memory
from isoflop.train.spec import TrainSpec


class Step(Protocol):
    """K models and their optimizers. What happens to one depends on no other, bit for bit, and on no number of them.

    Attributes:
        batch: sequences of a model that :meth:`step` takes.
        eval_batch: sequences of a model that :meth:`evaluate` takes.
        hyper: (K,) float64 by name, ``"lr"`` among them: written between steps.
        active: (K,) bool: the others are neither updated nor evaluated, and what is returned of them means nothing.
        ran: what computes, in words: losses of two that differ here differ by rounding.
        parts: how many parts of the batch ``squares`` are measured over; 1 where they are not.
        squares: (K, 2) float64 of the last step: the mean of |g|^2 over the parts of the batch, g being the gradient
            of a part's mean loss, and |G|^2 of the batch, before clipping.
    """

    batch: int
    eval_batch: int
    active: Tensor
    ran: str
    parts: int

    @property
    def hyper(self) -> Mapping[str, Tensor]: ...

    @property
    def squares(self) -> Tensor: ...

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """One update on (K, batch, n_ctx) int64; the losses (K,) before it, nats/token: NaN where one diverged."""

    def evaluate(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Losses (K, eval_batch, n_ctx), nats, of ``targets`` given ``tokens``, both of that shape, int64."""

    def hits(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Whether the likeliest token is the target: (K, eval_batch, n_ctx) bool."""

    def state(self, model: int) -> dict[str, Tensor]:
        """Everything that the further training of one model depends on but its data and rates: by name."""

    def load_state(self, model: int, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""


def make_step(specs: Sequence[TrainSpec], *, threads: int = 1) -> Step:
    """The engine that ``specs`` name, with a model for each: they share what :func:`isoflop.train.spec.stack_key` says.

    ``threads`` are those of the native engine, whose results are the same for any number of them; torch has its own.

    Raises:
        MissingExtra: the engine needs a library that is not installed.
        KernelError: the engine cannot train the shape, or not here.
        NotEnoughMemory: the stack is predicted to take more than there is; nothing has been allocated.
    """
    refuse_past_memory(specs, free_bytes(specs[0].engine), threads=threads)
    if specs[0].engine == "torch":
        from isoflop.train.plain import PlainStep

        return PlainStep(specs)
    from isoflop.train.engine_step import EngineStep

    return EngineStep(specs, threads=threads)


def free_bytes(engine: str) -> int | None:
    """Bytes that are free where the engine trains; None where nobody tells."""
    if engine != "triton":
        return available_bytes()
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
