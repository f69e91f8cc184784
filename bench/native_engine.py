"""Tokens a second of the native engine beside a plain PyTorch loop, all cores busy: ``python bench/native_engine.py``.

The loop is nanoGPT's: pre-norm blocks, GELU, scaled_dot_product_attention, gradient clipping, fused AdamW; a mixture of
experts is one loop over its experts, each of its rows alone, and its load-balancing loss is added. The loop is run in
each of its settings (one process a core of one thread, or one process with all cores; float32, or bfloat16 autocast),
and the best counts. Ours trains one model a core, or the stack asked for, in one process. Both are timed in turns, so
that what else the machine does falls on both; each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing as mp
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import isoflop as iso
from isoflop.train.engine.backends import CORES
from isoflop.train.engine.step import Step


@dataclass(frozen=True)
class Workload:
    """Layers, width, heads, context, sequences of a batch; models beside each other; the vocabulary."""

    n_layer: int
    d_model: int
    n_head: int
    n_ctx: int
    batch: int
    models: int | None = None
    n_vocab: int = 256
    bias: bool = True
    n_expert: int | None = None
    top_k: int | None = None

    @property
    def shape(self) -> iso.Shape:
        return iso.Shape(
            n_layer=self.n_layer, d_model=self.d_model, n_head=self.n_head, n_ctx=self.n_ctx, n_vocab=self.n_vocab,
            bias=self.bias, n_expert=self.n_expert, top_k=self.top_k,
        )  # fmt: skip

    @property
    def name(self) -> str:
        stack = "" if self.models is None else f" K{self.models}"
        experts = "" if self.n_expert is None else f" E{self.n_expert}/{self.top_k}"
        return f"L{self.n_layer} d{self.d_model} T{self.n_ctx} B{self.batch}{experts}{stack}"

    @property
    def tokens(self) -> int:
        """Of a model and step."""
        return self.batch * self.n_ctx


FIVE = (
    Workload(1, 16, 1, 64, 16),
    Workload(2, 32, 2, 64, 16),
    Workload(2, 64, 4, 128, 16),
    Workload(4, 128, 4, 128, 16),
    Workload(6, 256, 8, 256, 8),
)
MIXTURES = (
    Workload(2, 64, 4, 128, 16, n_expert=8, top_k=2),
    Workload(4, 128, 4, 128, 16, n_expert=8, top_k=2),
)
STACKS = (Workload(1, 16, 1, 64, 16, 16), Workload(2, 32, 2, 64, 16, 16))
Rate = Callable[[float], float]
"""Seconds to run for -> tokens a second."""


def plain_mlp(width: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width, bias), nn.GELU(), nn.Linear(4 * width, width, bias))


class Experts(nn.Module):
    def __init__(self, load: Workload) -> None:
        super().__init__()
        assert load.n_expert is not None
        assert load.top_k is not None
        self.count, self.top_k = load.n_expert, load.top_k
        self.router = nn.Linear(load.d_model, load.n_expert, bias=False)
        self.experts = nn.ModuleList(plain_mlp(load.d_model, load.bias) for _ in range(load.n_expert))
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        p = self.router(rows).float().softmax(-1)
        gates, chosen = p.topk(self.top_k)
        shares = chosen.flatten().bincount(minlength=self.count) / chosen.numel()
        self.balance = self.count * (shares * p.mean(0)).sum()
        y = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            row, place = (chosen == number).nonzero(as_tuple=True)
            y = y.index_add(0, row, (expert(rows[row]) * gates[row, place, None]).to(y.dtype))
        return y.view_as(x)


class Block(nn.Module):
    def __init__(self, load: Workload) -> None:
        super().__init__()
        width, bias = load.d_model, load.bias
        self.heads = load.n_head
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)
        self.mlp = plain_mlp(width, bias) if load.n_expert is None else Experts(load)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Plain(nn.Module):
    def __init__(self, load: Workload) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(load.n_vocab, load.d_model), nn.Embedding(load.n_ctx, load.d_model)
        self.blocks = nn.Sequential(*(Block(load) for _ in range(load.n_layer)))
        self.norm = nn.LayerNorm(load.d_model, bias=load.bias)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places.weight
        logits = F.linear(self.norm(self.blocks(x)), self.tokens.weight)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        balances = [block.mlp.balance for block in self.blocks if isinstance(block.mlp, Experts)]
        return loss + 0.01 * sum(balances, torch.zeros(()))


def train_plain(pipe: Connection, load: Workload, threads: int, dtype: torch.dtype) -> None:
    """Train for as long as the pipe says, and answer with the steps and the seconds they took."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = Plain(load)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens, targets = torch.randint(256, (2, load.batch, load.n_ctx))
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    while (seconds := pipe.recv()) is not None:
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            optimizer.zero_grad(set_to_none=True)
            with mixed:
                loss = model(tokens, targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
        pipe.send((steps, time.perf_counter() - began))


@contextmanager
def plain_loop(load: Workload, processes: int, threads: int, dtype: torch.dtype) -> Iterator[Rate]:
    context = mp.get_context("spawn")
    pairs = [context.Pipe() for _ in range(processes)]
    workers = [context.Process(target=train_plain, args=(inner, load, threads, dtype)) for _, inner in pairs]
    for worker in workers:
        worker.start()

    def rate(seconds: float) -> float:
        for outer, _ in pairs:
            outer.send(seconds)
        return sum(steps * load.tokens / taken for steps, taken in (outer.recv() for outer, _ in pairs))

    try:
        yield rate
    finally:
        for (outer, _), worker in zip(pairs, workers, strict=True):
            outer.send(None)
            worker.join()


def native_engine(load: Workload, products: str) -> Rate:
    models = load.models or CORES
    step = Step(load.shape, models=models, batch=load.batch, backend="native", products=products)
    tokens, targets = torch.randint(256, (2, models, load.batch, load.n_ctx))

    def rate(seconds: float) -> float:
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step.step(tokens, targets)
            steps += 1
        return steps * models * load.tokens / (time.perf_counter() - began)

    return rate


def matmul_peak(dtype: torch.dtype, seconds: float = 0.5) -> float:
    """FLOP/s of torch's product of 2048 x 2048 matrices on all cores."""
    torch.set_num_threads(CORES)
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    best = 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began))
    torch.set_num_threads(1)
    return best


def measure(load: Workload, rounds: int, seconds: float) -> dict[str, float]:
    """Tokens a second, by name: ours in two ways, and the loop in its four, the best of which goes on."""
    settings = [(p, t, d) for p, t in ((CORES, 1), (1, CORES)) for d in (torch.float32, torch.bfloat16)]
    tried: dict[Any, float] = {}
    for setting in settings:
        with plain_loop(load, *setting) as rate:
            rate(seconds / 4)
            tried[setting] = rate(seconds)
    best = max(settings, key=tried.__getitem__)
    ours = {f"native {products}": native_engine(load, products) for products in ("float32", "bfloat16")}
    found: dict[str, list[float]] = {name: [] for name in (*ours, "torch")}
    with plain_loop(load, *best) as rate:
        for run in (*ours.values(), rate):
            run(seconds / 4)
        for _ in range(rounds):
            for name, run in (*ours.items(), ("torch", rate)):
                found[name].append(run(seconds))
    return {name: statistics.median(rates) for name, rates in found.items()}


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    peaks = {name: matmul_peak(dtype) for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))}
    print("matmul peak, all cores:", ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    print(f"{'':22}{'torch':>12}{'float32':>12}{'bfloat16':>12}{'ratio':>8}{'GFLOP/s':>9}  share of the peak")
    for title, loads in (("five shapes", FIVE), ("stacks", STACKS), ("mixtures of experts", MIXTURES)):
        ratios = []
        for load in loads:
            found = measure(load, chosen.rounds, chosen.seconds)
            products = max(peaks, key=lambda name: found[f"native {name}"])
            ours = found[f"native {products}"]
            ratios.append(ours / found["torch"])
            achieved = ours * iso.flops(load.shape).per_token("exact-causal")
            print(
                f"{load.name:22}{found['torch']:12.0f}{found['native float32']:12.0f}{found['native bfloat16']:12.0f}"
                f"{ratios[-1]:7.2f}x{achieved / 1e9:9.0f}  {achieved / peaks[products]:.0%} of {products}"
            )
        print(f"{title}: geometric mean {geometric_mean(ratios):.2f}x, least {min(ratios):.2f}x\n")


if __name__ == "__main__":
    main()
