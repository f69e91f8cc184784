"""One model trained by several processes together, each with its share of every batch: DDP and FSDP2 over torchrun.

The counts, the record and the losses are those of one process but for rounding: every process goes through the same
training loop, sees the same losses, and comes to the same decisions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from isoflop.errors import SpecError, nearest
from isoflop.train.footprint import parts_of_process, refuse_share_past_memory
from isoflop.train.language_model import LanguageModel
from isoflop.train.learner import Objective
from isoflop.train.plain import PlainStep
from isoflop.train.spec import TrainSpec
from isoflop.train.step import free_bytes

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[int]:
    """This process among those that torchrun has started, by its rank: over NCCL on GPUs, one each, else over gloo.

    Raises:
        SpecError: torchrun has not started this process.
    """
    if "LOCAL_RANK" not in os.environ:
        raise SpecError(
            "a run is spread over the processes that torchrun starts",
            hint="torchrun --nproc-per-node 2 -m isoflop sweep STUDY --spread ddp",
        )
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this is the process that records."""
    return dist.get_rank() == 0


@contextmanager
def first_goes_ahead() -> Iterator[None]:
    """The first process goes through the block alone, then the others."""
    if not is_first():
        dist.barrier()
    yield
    if is_first():
        dist.barrier()


def said_by_the_first(value: T) -> T:
    """What the first process gives here, on every process."""
    told = [value]
    dist.broadcast_object_list(told)
    return told[0]


class _Objective(nn.Module):
    """The objective of a model as a forward pass, which is where DDP begins."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
        return self.model.objective(tokens, targets, **settings)


def _replicate(model: LanguageModel, spec: TrainSpec, device: torch.device) -> Objective:
    """The whole model on every process; gradients are averaged once a batch, once a micro-batch where measured."""
    module = DistributedDataParallel(_Objective(model.to(device)))
    together = 1 if "noise" in spec.measurements else spec.micro_batches
    calls = count(1)

    def objective(*given: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
        with nullcontext() if next(calls) % together == 0 else module.no_sync():
            lowered, entropy = module(*given, **settings)
            return lowered, entropy

    return objective


def _shard(model: LanguageModel, spec: TrainSpec, device: torch.device) -> Objective:
    """A part of every parameter, gradient and moment on each process; a block is made whole while it is used."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    model.to(device)
    for block in getattr(model, "blocks", ()):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # else it would still see averages after an evaluation
    for method in ("objective", "hits"):
        register_fsdp_forward_method(model, method)
    return model.objective


LayOut = Callable[[LanguageModel, TrainSpec, torch.device], Objective]

SPREADS: Mapping[str, tuple[LayOut, Mapping[str, object]]] = {
    "ddp": (_replicate, {"dropout": 0.0}),
    "fsdp": (_shard, {"dropout": 0.0, "optimizer": "adamw"}),
}
"""How a model is laid out over processes, and what settings must then be: random numbers are one process's own, and
Adafactor and Muon look at whole matrices."""


def refuse_unspreadable(spec: TrainSpec, spread: str) -> None:
    """Raise SpecError for an unknown ``spread``, and for a run that it does not train."""
    if spread not in SPREADS:
        raise SpecError(f"unknown spread {spread!r}", hint=nearest(spread, SPREADS))
    world, experts = dist.get_world_size(), spec.shape.n_expert is not None
    if experts and world > 1 and (spec.accumulate % world or "noise" in spec.measurements):
        raise SpecError(
            f"experts balance their load in whole parts of a batch, of which none can be shared out among {world} "
            f"processes: accumulate = {spec.accumulate} must be a multiple of {world}, without measuring noise",
            hint=f"accumulate = {-(-spec.accumulate // world) * world} in [train]",
        )
    if not experts and spec.batch_windows % (world * spec.micro_batches):
        raise SpecError(
            f"{spec.batch_windows} contexts of a batch, in {spec.micro_batches} parts, cannot be shared out among "
            f"{world} processes",
            hint=f"a batch_tokens that is a multiple of {world * spec.micro_batches * spec.shape.n_ctx}",
        )
    for name, only in {"engine": "torch", **SPREADS[spread][1]}.items():
        if (value := getattr(spec, name)) != only:
            raise SpecError(
                f"{name} = {value!r} must be {only!r} in a run spread by {spread!r}",
                hint=f"{name} = {only!r} in [train]",
            )


def _free_bytes() -> int | None:
    """What the process with the least has: of its GPU, else of the memory that those of one machine share."""
    gpu = torch.cuda.is_available()
    free = free_bytes("triton" if gpu else "torch")
    beside = 1 if gpu else int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size()))
    told: list[int | None] = [None] * dist.get_world_size()
    dist.all_gather_object(told, None if free is None else free // beside)
    return min((each for each in told if each is not None), default=None)


class SpreadStep:
    """A :class:`~isoflop.train.step.Step` of one model over all processes of the group.

    Raises SpecError as :func:`refuse_unspreadable` does, and NotEnoughMemory, on all processes, where one of them is
    predicted to take more than it has; nothing has been allocated then.
    """

    def __init__(self, spec: TrainSpec, spread: str) -> None:
        refuse_unspreadable(spec, spread)
        refuse_share_past_memory(spec, spread, dist.get_world_size(), _free_bytes())
        self._rank, self._world = dist.get_rank(), dist.get_world_size()
        gpu = torch.cuda.is_available()
        self._device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
        lay_out = SPREADS[spread][0]
        own = replace(spec, accumulate=parts_of_process(spec, self._world))
        self._own = PlainStep([own], lambda model: lay_out(model, own, self._device))
        self.batch, self._parts = self._own.batch, spec.micro_batches if spec.shape.n_expert is None else 1
        self.eval_batch = -(-self._own.eval_batch // self._world) * self._world
        self.parts, self.active, self.hyper, self.squares = (
            self._own.parts, self._own.active, self._own.hyper, self._own.squares,
        )  # fmt: skip
        self.ran = f"{self._own.ran}, {spread} over {self._world} processes"

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        losses = self._own.step(self._share(tokens, self._parts), self._share(targets, self._parts)).to(self._device)
        dist.all_reduce(losses)
        return losses.cpu() / self._world

    def evaluate(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self._gather(self._own.evaluate(self._share(tokens), self._share(targets)))

    def hits(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self._gather(self._own.hits(self._share(tokens), self._share(targets)))

    def state(self, model: int) -> dict[str, Tensor]:
        return self._own.state(model)

    def load_state(self, model: int, state: Mapping[str, Tensor]) -> None:
        self._own.load_state(model, state)

    def _share(self, rows: Tensor, parts: int = 1) -> Tensor:
        """Of each of ``parts`` of the rows, so that micro-batches are of the rows that they have in one process.

        Of one part, rows that follow each other: whole micro-batches.
        """
        apart = rows.reshape(len(rows), parts, self._world, -1, rows.shape[-1])
        return apart[:, :, self._rank].flatten(1, 2).to(self._device)

    def _gather(self, rows: Tensor) -> Tensor:
        rows = rows.contiguous().to(self._device)
        shares = [torch.empty_like(rows) for _ in range(self._world)]
        dist.all_gather(shares, rows)
        return torch.cat(shares, dim=1).cpu()
