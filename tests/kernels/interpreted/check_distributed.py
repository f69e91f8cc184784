"""Gradients of a block shared out among two processes are those of one: DDP and FSDP2 over gloo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import isoflop as iso
from isoflop.kernels import FusedBlock, last_dispatch

WORLD = 2
SHAPE = iso.Shape(n_layer=1, d_model=8, n_head=2, n_ctx=8, n_vocab=9, norm="rms", position="rope", bias=False)


def block_and_batch() -> tuple[FusedBlock, Tensor]:
    torch.manual_seed(0)
    return FusedBlock(SHAPE), torch.randn(WORLD, 1, 5, 8)


def backward(block: nn.Module, x: Tensor) -> None:
    block(x).square().mean().backward()


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    plain, batch = block_and_batch()
    backward(DistributedDataParallel(plain), batch[rank])
    sharded, _ = block_and_batch()
    fully_shard(sharded, mesh=init_device_mesh("cpu", (WORLD,)))
    backward(sharded, batch[rank])
    made = {
        "DDP": {name: each.grad for name, each in plain.named_parameters()},
        "FSDP2": {name: each.grad.full_tensor() for name, each in sharded.named_parameters()},
        "ran": last_dispatch()["mlp"],
    }
    torch.save(made, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=WORLD)
    block, batch = block_and_batch()
    backward(block, batch.flatten(0, 1))
    for rank in range(WORLD):
        made = torch.load(tmp_path / f"{rank}.pt")
        assert made["ran"] == "triton"
        for kind in ("DDP", "FSDP2"):
            for name, each in block.named_parameters():
                torch.testing.assert_close(made[kind][name], each.grad, rtol=1e-4, atol=1e-6)
