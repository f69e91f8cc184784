"""nanoGPT's training on a CPU, by the native engine and by a plain PyTorch loop: ``python bench/shakespeare.py FILE``.

The setting is that of nanoGPT's README for computers without a GPU: characters of Shakespeare (FILE is
``tinyshakespeare.txt``), 4 layers, 4 heads, width 128, context 64, batch 12, 2000 steps, no dropout, no biases. All
begin from the same parameters, drawn by isoflop's rule, see the same windows in the same order, and are judged on the
same held-out windows; judging is not timed. The loop is run in the setting of threads and precision that is fastest.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from native_engine import Plain, Workload
from torch import Tensor, nn

from isoflop.data import Corpus, Recipe, load_corpus, unique_tokens
from isoflop.hardware import cores
from isoflop.kernels.gpt_parameters import first_values
from isoflop.runs import Recorder, RunStore
from isoflop.train import TrainSpec, train_stack
from isoflop.train.step import make_step
from isoflop.train.windows import WindowOrder, held_out_windows

STEPS, LEVEL = 2000, 1.90
SETTINGS = [(threads, dtype) for threads in sorted({1, int(cores())}) for dtype in (torch.float32, torch.bfloat16)]


_LOOPS = {
    "positions": "places",
    "attention.qkv.weight": "qkv",
    "attention.proj.weight": "proj",
    "mlp.fc.weight": "mlp.0",
    "mlp.proj.weight": "mlp.2",
    ".gain": "",
}
_NAMES = re.compile("|".join(map(re.escape, _LOOPS)))


@dataclass
class Curve:
    """Seconds of training, and the held-out loss after them, nats a character."""

    seconds: list[float]
    losses: list[float]

    def seconds_to(self, level: float) -> float:
        """When the loss was first so low; infinite if it never was."""
        return next((s for s, loss in zip(self.seconds, self.losses, strict=True) if loss <= level), math.inf)


def spec_of(load: Workload, corpus: Corpus, steps: int, **engine: str) -> TrainSpec:
    tokens = steps * load.tokens
    unique = unique_tokens(corpus.train, tokens, n_ctx=load.n_ctx, allow_repeats=True)
    return TrainSpec(
        shape=load.shape, corpus=corpus.fingerprint, tokens=tokens, unique_tokens=unique, batch_tokens=load.tokens,
        learning_rate=1e-3, final_learning_rate=1e-4, warmup_steps=100, beta2=0.99, evaluations=20,
        measurements=("cost",), **engine,  # type: ignore[arg-type]
    )  # fmt: skip


def native(spec: TrainSpec, corpus: Corpus) -> Curve:
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        with Recorder(store, spec.to_dict()) as recorder:
            train_stack([spec], [corpus], [recorder], step=make_step([spec], threads=int(cores())))
        points = store.points_of(recorder.id)
    judged = np.isfinite(points["val_loss"])
    return Curve(points["seconds"][judged].tolist(), points["val_loss"][judged].tolist())


def plain_model(load: Workload, spec: TrainSpec) -> tuple[Plain, torch.optim.Optimizer]:
    """The first parameters of the engine's model of that seed, in the loop's; matrices alone decay."""
    model = Plain(load)
    first = {name: value[0] for name, value in first_values(spec.shape, [spec.seed]).items()}
    model.load_state_dict({_NAMES.sub(lambda found: _LOOPS[found[0]], name) + ".weight": first[name] for name in first})
    decays: dict[bool, list[Tensor]] = {True: [], False: []}
    for value in model.parameters():
        decays[value.ndim > 1].append(value)
    groups: list[dict[str, Any]] = [
        {"params": values, "weight_decay": spec.weight_decay if decay else 0.0} for decay, values in decays.items()
    ]
    return model, torch.optim.AdamW(groups, betas=(spec.beta1, spec.beta2), fused=True)


def plain(load: Workload, spec: TrainSpec, corpus: Corpus, dtype: torch.dtype) -> Iterator[tuple[float, Plain]]:
    """Seconds of each step, and the model as it is after it."""
    model, optimizer = plain_model(load, spec)
    order = WindowOrder(spec, corpus)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    for rate in spec.rates():
        began = time.perf_counter()
        windows = torch.from_numpy(order.take(load.batch).astype(np.int64))
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        optimizer.zero_grad(set_to_none=True)
        with mixed:
            loss = model(windows[:, :-1], windows[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), spec.grad_clip)
        optimizer.step()
        yield time.perf_counter() - began, model


@torch.no_grad()
def judge(model: Plain, windows: Tensor) -> float:
    """The mean loss of all tokens of ``windows`` (n, n_ctx + 1)."""
    sums = [float(model(part[:, :-1], part[:, 1:])) * len(part) for part in windows.split(64)]
    return sum(sums) / len(windows)


def fastest(load: Workload, spec: TrainSpec, corpus: Corpus, steps: int) -> tuple[int, torch.dtype]:
    """The setting whose median step is shortest."""
    medians: dict[tuple[int, torch.dtype], float] = {}
    for threads, dtype in SETTINGS:
        torch.set_num_threads(threads)
        seconds = [spent for (spent, _), _ in zip(plain(load, spec, corpus, dtype), range(steps), strict=False)]
        medians[threads, dtype] = sorted(seconds)[len(seconds) // 2]
        print(f"  torch, {named(threads, dtype)}: {1e3 * medians[threads, dtype]:.1f} ms a step", flush=True)
    return min(medians, key=medians.__getitem__)


def named(threads: int, dtype: torch.dtype) -> str:
    return f"{threads} threads, {str(dtype).removeprefix('torch.')}"


def torch_loop(load: Workload, spec: TrainSpec, corpus: Corpus, threads: int, dtype: torch.dtype) -> Curve:
    torch.set_num_threads(threads)
    windows = torch.from_numpy(held_out_windows(spec, corpus).astype(np.int64))
    every, spent, curve = spec.n_steps // spec.evaluations, 0.0, Curve([], [])
    for step, (seconds, model) in enumerate(plain(load, spec, corpus, dtype), 1):
        spent += seconds
        if step % every == 0:
            curve.seconds.append(spent)
            curve.losses.append(judge(model, windows))
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS, help="a multiple of 20")
    given = parser.parse_args()
    corpus = load_corpus(Recipe(source=str(given.file), tokenizer="char"))
    load = Workload(4, 128, 4, 64, 12, n_vocab=corpus.n_vocab, bias=False)
    precisions = "float32", "bfloat16"
    specs = {each: spec_of(load, corpus, given.steps, engine="native", precision=each) for each in precisions}
    print(f"{corpus.n_vocab} tokens, {len(corpus.train.tokens)} to train on, {load.shape.n_params} parameters")
    setting = fastest(load, specs["float32"], corpus, 50)
    curves = {f"torch, {named(*setting)}": torch_loop(load, specs["float32"], corpus, *setting)}
    torch.set_num_threads(1)
    for precision, spec in specs.items():
        curves[f"native, {cores():.0f} threads, {precision}"] = native(spec, corpus)
    base, *_ = curves.values()
    print(f"{'':32}{'held-out':>10}{'seconds':>9}{f'to {LEVEL:.2f}':>9}{'ratio':>8}   load {os.getloadavg()[0]:.1f}")
    for name, curve in curves.items():
        to_level = curve.seconds_to(LEVEL)
        ratio = base.seconds_to(LEVEL) / to_level if math.isfinite(to_level) else math.nan
        print(f"{name:32}{curve.losses[-1]:10.4f}{curve.seconds[-1]:9.1f}{to_level:9.1f}{ratio:7.2f}x")


if __name__ == "__main__":
    main()
