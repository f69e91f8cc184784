"""One run spread over two processes of this machine: whole, and gone on with from a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from isoflop.data import load_corpus
from isoflop.runs import Recorder, RunStore
from isoflop.runs.local import LocalFolder
from isoflop.train import Checkpoints, TrainSpec, train_stack
from isoflop.train.spread import SpreadStep, process_group

WORLD = 2
CORPUS = "synthetic:zipf-markov?tokens=2e4"


def spread_run(spec: TrainSpec, spread: str, folder: Path) -> None:
    """The run in the store ``folder``, its outcome and that of its last third made again in ``outcomes.json``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_work, args=(spec.to_dict(), spread, str(folder), port), nprocs=WORLD)


def _work(rank: int, values: dict[str, Any], spread: str, folder: str, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(WORLD)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    spec, corpus, where = TrainSpec.from_dict(values), load_corpus(CORPUS), Path(folder)
    at = spec.n_steps * 2 // 3
    with process_group():
        recorder = Recorder(RunStore(where), spec.to_dict()).__enter__() if rank == 0 else None
        files = Checkpoints(LocalFolder(where), keep=[at], writes=rank == 0)
        [whole] = train_stack([spec], [corpus], [recorder], step=SpreadStep(spec, spread), checkpoints=[files])
        if recorder is not None:
            recorder.__exit__(None, None, None)
            shutil.copy(where / f"checkpoint.{at}.safetensors", where / "checkpoint.safetensors")
        torch.distributed.barrier()
        steps: list[int] = []
        [again] = train_stack(
            [spec], [corpus], [None], step=SpreadStep(spec, spread), checkpoints=[files],
            progress=lambda _, step: steps.append(step),
        )  # fmt: skip
    if rank == 0:
        found = {"whole": asdict(whole.held_out), "again": asdict(again.held_out), "first": steps[0]}
        (where / "outcomes.json").write_text(json.dumps(found))
