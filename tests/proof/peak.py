"""What a stack takes in a process of its own, and what was predicted: ``python -m proof.peak SPEC MODELS``, as JSON.

With a spread after these, what the first of the processes takes that torchrun has started for one model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from isoflop.train.footprint import needed, needed_by_process
from isoflop.train.spec import TrainSpec
from isoflop.train.spread import SpreadStep, process_group
from isoflop.train.step import Step, make_step


def held(entry: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(entry))


Make = Callable[[list[TrainSpec]], Step]
Predict = Callable[[list[TrainSpec]], dict[str, int]]


def train_and_judge(specs: list[TrainSpec], make: Make) -> None:
    step, shape = make(specs), specs[0].shape
    for batch, run in ((step.batch, step.step), (step.batch, step.step), (step.eval_batch, step.evaluate)):
        run(*torch.randint(shape.n_vocab, (2, len(specs), batch, shape.n_ctx)))


def measure(make: Make, predict: Predict) -> dict[str, int]:
    spec = TrainSpec.from_dict(json.loads(sys.argv[1]))
    small = spec.shape.replace(n_layer=1, d_model=spec.shape.n_head * 2, n_vocab=16)
    train_and_judge([replace(spec, shape=small)], make)  # code and tables come into memory
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, specs = held("VmRSS"), [spec] * int(sys.argv[2])
    train_and_judge(specs, make)
    return {"taken": held("VmHWM") - before, "predicted": sum(predict(specs).values())}


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(measure(make_step, needed)))
        return
    spread = sys.argv[3]
    with process_group() as rank:
        processes = torch.distributed.get_world_size()
        found = measure(
            lambda specs: SpreadStep(specs[0], spread), lambda specs: needed_by_process(specs[0], spread, processes)
        )
    if rank == 0:
        sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
