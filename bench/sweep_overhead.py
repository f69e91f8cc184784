"""How much of a sweep's time is not training: 100 runs, N from 1e3 to 1e6, on all cores; the loop's share of a step.

python bench/sweep_overhead.py
python bench/sweep_overhead.py --engine native --precision bfloat16 --workers 2 --json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isoflop.data import Corpus, load_corpus
from isoflop.hardware import cores
from isoflop.runs import RunStore
from isoflop.sweep.launcher import run_sweep
from isoflop.sweep.packing import pack
from isoflop.sweep.resolve import resolve
from isoflop.sweep.study import parse_study
from isoflop.train import TrainSpec, train_stack
from isoflop.train.trainable import ENGINES

SIZES, LENGTHS = 10, 10


def study(engine: str, precision: str, tokens: float, corpus: str) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "shape": {"n_ctx": 64, "n_vocab": 256},
        "near": {"n_nonembedding": np.geomspace(1e3, 1e6, SIZES).tolist(), "tolerance": 0.3, "aspect": [4, 64]},
        "tokens": np.geomspace(tokens / 10, tokens, LENGTHS).tolist(),
        "train": {"engine": engine, "precision": precision, "measurements": ["cost"], "batch_tokens": 1024},
    }


class Idle:
    """An engine that takes no time: what is left is the loop."""

    parts = 1

    def __init__(self, specs: list[TrainSpec]) -> None:
        self.batch, self.eval_batch = specs[0].batch_windows, 64
        self.active = torch.ones(len(specs), dtype=torch.bool)
        self.hyper = {"lr": torch.zeros(len(specs), dtype=torch.float64)}
        self._losses = torch.ones(len(specs))

    def step(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self._losses

    def evaluate(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.ones(()).expand(tokens.shape)


def loop_microseconds(spec: TrainSpec, corpus: Corpus, models: int) -> float:
    """Of one core, a step of one model: its windows laid out, its loss taken in, its points; without the engine."""
    specs = [replace(spec, seed=seed) for seed in range(models)]  # equal ones would be one run and its followers
    began = time.process_time()
    train_stack(specs, [corpus] * models, [None] * models, step=Idle(specs))  # type: ignore[arg-type]
    return 1e6 * (time.process_time() - began) / (models * spec.n_steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=[*ENGINES], default="torch")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--tokens", type=float, default=2e5, help="of the longest runs; the shortest have a tenth")
    parser.add_argument("--corpus", default="stdlib")
    parser.add_argument("--workers", type=int, default=int(cores()))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    corpus = load_corpus(given.corpus)
    specs = resolve(parse_study(study(given.engine, given.precision, given.tokens, given.corpus)), corpus)
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder) / "store")
        load_corpus(given.corpus, store.cache)
        began = time.perf_counter()
        result = run_sweep(specs, store, workers=given.workers)
        wall = time.perf_counter() - began
        last = [store.points_of(record.id) for record in store]
    training, evaluating = (sum(float(p[name][-1]) for p in last) for name in ("seconds", "seconds_evaluating"))
    available = wall * given.workers
    small = min(specs, key=lambda spec: (spec.shape.n_params, -spec.tokens))
    found = {
        "engine": given.engine,
        "precision": given.precision,
        "workers": given.workers,
        "runs": result.count("finished"),
        "stacks": len(pack(specs, given.workers)),
        "seconds": wall,
        "training": training / available,
        "evaluating": evaluating / available,
        "rest": 1 - (training + evaluating) / available,
        "loop_us_a_step": {str(models): loop_microseconds(small, corpus, models) for models in (1, 16)},
    }
    if given.json:
        print(json.dumps(found, indent=1))
        return
    kind = f"{given.engine} {given.precision}, {given.workers} workers"
    shares = ", ".join(f"{name} {found[name]:.1%}" for name in ("training", "evaluating", "rest"))
    print(f"{found['runs']} runs in {found['stacks']} stacks, {kind}: {wall:.1f} s, {shares}")
    for models, us in found["loop_us_a_step"].items():
        print(f"the loop takes {us:.1f} us of a core a step and model, {models} together")


if __name__ == "__main__":
    main()
