"""Whole training steps: forward, backward, clip and AdamW of K models of one shape, from 3e3 parameters to 1e9."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from isoflop.benchmark.ceilings import DTYPES, Ceilings
from isoflop.benchmark.timing import Call
from isoflop.benchmark.variants import graph
from isoflop.counting import flops
from isoflop.counting.footprint import memory
from isoflop.shape import Shape
from isoflop.train.engine.step import Step
from isoflop.train.model import Transformer

MODELS = (1, 4, 16, 64)
HYPER: dict[str, Any] = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1, "clip": 1.0}


class Rung(tuple[int, int, int, int, int]):
    """n_layer, d_model, n_ctx, n_vocab, and sequences of a batch."""

    __slots__ = ()

    @property
    def shape(self) -> Shape:
        """The decoder: heads of 64 or of the width below, GPT-2's in all else."""
        n_layer, d_model, n_ctx, n_vocab, _ = self
        return Shape(n_layer=n_layer, d_model=d_model, n_head=max(1, d_model // 64), n_ctx=n_ctx, n_vocab=n_vocab)

    @property
    def batch(self) -> int:
        """Sequences."""
        return self[4]


LADDER = (
    Rung((1, 16, 128, 256, 16)),
    Rung((2, 32, 128, 256, 16)),
    Rung((4, 64, 256, 256, 16)),
    Rung((4, 128, 256, 256, 16)),
    Rung((6, 256, 512, 4096, 16)),
    Rung((8, 512, 1024, 8192, 16)),
    Rung((12, 768, 1024, 50257, 8)),
    Rung((24, 1024, 1024, 50257, 8)),
    Rung((20, 2048, 1024, 50257, 4)),
)
"""Of 3e3 to 1e9 parameters without embeddings."""


@dataclass(frozen=True)
class StepTime:
    """One way to take a step.

    Attributes:
        n: parameters of a model without embeddings.
        models: K.
        tokens: of a step, all models together.
        seconds, with_host: the median of a step, and a step of many in a row with what the host does.
        tokens_per_second: by ``with_host``, all models together.
        mfu: of FLOPs by "exact-causal" over the peak of the device's matrix units in ``dtype``.
        memory: bytes at the worst moment, the model's state included; None where the device does not say.
        joules: of a step, by the counters of processor and GPU; None where none can be read.
        flops_per_joule: FLOPs by "exact-causal" of a step over them.
    """

    n: int
    n_layer: int
    d_model: int
    models: int
    variant: str
    dtype: str
    tokens: int
    seconds: float
    with_host: float
    tokens_per_second: float
    mfu: float
    memory: int | None
    joules: float | None = None
    flops_per_joule: float | None = None


def utilisation(shape: Shape, tokens_per_second: float, ceilings: Ceilings, dtype: torch.dtype) -> float:
    """Of the matrix units of a device, by the FLOPs that "exact-causal" counts."""
    return flops(shape).per_token("exact-causal") * tokens_per_second / ceilings.matrix[DTYPES[dtype]]


def needed(rung: Rung, models: int) -> float:
    """Bytes of K models with AdamW in mixed precision, flash attention, and the logits of the definition."""
    shape = rung.shape
    return models * float(memory(shape, batch=rung.batch, dropout=False).total)


def draw(rung: Rung, models: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets (K, batch, n_ctx) int64, uniform."""
    generator, shape = torch.Generator().manual_seed(0), rung.shape
    drawn = torch.randint(shape.n_vocab, (2, models, rung.batch, shape.n_ctx), generator=generator)
    return drawn[0].to(device), drawn[1].to(device)


def ways(
    rung: Rung, models: int, dtype: torch.dtype, device: torch.device, *, kernels: bool, compiled: bool
) -> Iterator[tuple[str, Callable[[], Call]]]:  # fmt: skip
    """The name of each way, and what makes the step that is timed; torch takes one model a step, at K = 1 alone."""
    if kernels and engine() is not None:
        yield "kernels", lambda: by_kernels(rung, models, dtype, device, captured=device.type == "cuda")
    if device.type == "cpu" and not kernels and dtype == torch.float32:
        yield "native", lambda: by_native(rung, models)
    if models == 1:
        yield "eager", lambda: by_torch(rung, dtype, device, compiled=False)
        if compiled:
            yield "compile", lambda: by_torch(rung, dtype, device, compiled=True)
            if device.type == "cuda":
                yield "compile+graph", lambda: graph(by_torch(rung, dtype, device, compiled=True))


def by_torch(rung: Rung, dtype: torch.dtype, device: torch.device, *, compiled: bool) -> Call:
    """A step of the plain model, float32 parameters under autocast, with torch's own fused AdamW."""
    if compiled:
        torch.compiler.reset()  # it compiles one function a few times and then no more
    model = Transformer(rung.shape, torch.Generator().manual_seed(0)).to(device)
    run = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=HYPER["lr"], betas=(HYPER["beta1"], HYPER["beta2"]), weight_decay=HYPER["weight_decay"],
        fused=True, capturable=device.type == "cuda",
    )  # fmt: skip
    (tokens,), (targets,) = draw(rung, 1, device)
    mixed = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)

    def step() -> object:
        optimizer.zero_grad(set_to_none=True)
        with mixed:
            loss = run(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), HYPER["clip"])
        optimizer.step()
        return loss

    return step


def by_native(rung: Rung, models: int) -> Call:
    """A step of K models by the engine in C++, on all cores."""
    tokens, targets = draw(rung, models, torch.device("cpu"))
    held = Step(rung.shape, models=models, batch=rung.batch, backend="native", **HYPER)
    return lambda: held.step(tokens, targets)


def engine() -> Any:
    """The step of K models by kernels, ``isoflop.train.engine.triton.TrainStep``; None in a version without it."""
    if find_spec("isoflop.train.engine.triton") is None:
        return None
    return import_module("isoflop.train.engine.triton").TrainStep


def by_kernels(rung: Rung, models: int, dtype: torch.dtype, device: torch.device, *, captured: bool) -> Call:
    """A step of K models by kernels, as one CUDA graph where ``captured``."""
    tokens, targets = draw(rung, models, device)
    held = engine()(rung.shape, models=models, batch=rung.batch, dtype=dtype, device=device)
    held.step(tokens, targets)
    if captured:
        held.capture()
    return lambda: held.step(tokens, targets)
