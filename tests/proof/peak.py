"""What a stack takes in a process of its own, and what was predicted: ``python -m proof.peak SPEC MODELS``, as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from isoflop.train.footprint import eval_batch, needed
from isoflop.train.spec import TrainSpec
from isoflop.train.step import make_step


def held(entry: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(entry))


def train_and_judge(specs: list[TrainSpec]) -> None:
    step, shape = make_step(specs), specs[0].shape
    for batch, run in ((step.batch, step.step), (eval_batch(specs[0]), step.evaluate)):
        run(*torch.randint(shape.n_vocab, (2, len(specs), batch, shape.n_ctx)))


def main() -> None:
    torch.set_num_threads(1)
    spec = TrainSpec.from_dict(json.loads(sys.argv[1]))
    small = spec.shape.replace(n_layer=1, d_model=spec.shape.n_head * 2, n_vocab=16)
    train_and_judge([replace(spec, shape=small)])  # code and tables come into memory
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, specs = held("VmRSS"), [spec] * int(sys.argv[2])
    train_and_judge(specs)
    found = {"taken": held("VmHWM") - before, "predicted": sum(needed(specs).values())}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
