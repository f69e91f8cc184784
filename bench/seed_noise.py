"""Whether the engines end where torch does: final losses over five seeds, in pairs. ``python bench/seed_noise.py``.

Runs of one seed begin from the same parameters and see the same windows in the same order, whatever trains them. The
mean of their differences to torch's autograd and AdamW in float32 stands beside the spread of torch's own losses over
seeds, which is what a difference would have to be seen in.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import torch

import isoflop as iso
from isoflop.data import load_corpus
from isoflop.hardware import cores
from isoflop.train import TrainSpec, train_stack
from isoflop.train.step import make_step

SEEDS, STEPS, BATCH = 5, 400, 16
SHAPE = iso.Shape(n_layer=2, d_model=32, n_head=2, n_ctx=64, n_vocab=256)
KINDS = (("torch", "float32"), ("native", "float32"), ("native", "bfloat16"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="stdlib")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus = load_corpus(given.corpus)
    tokens = given.steps * BATCH * SHAPE.n_ctx
    losses: dict[tuple[str, str], list[float]] = {}
    for engine, precision in KINDS:
        specs = [
            TrainSpec(
                shape=SHAPE, corpus=corpus.fingerprint, tokens=tokens, unique_tokens=tokens,
                batch_tokens=BATCH * SHAPE.n_ctx, learning_rate=3e-3, final_learning_rate=3e-4,
                warmup_steps=given.steps // 10, seed=seed, evaluations=1, engine=engine, precision=precision,
            )
            for seed in range(given.seeds)
        ]  # fmt: skip
        began = time.perf_counter()
        done = train_stack(
            specs, [corpus] * len(specs), [None] * len(specs), step=make_step(specs, threads=int(cores()))
        )
        losses[engine, precision] = [outcome.held_out.mean for outcome in done]
        ends = ", ".join(f"{loss:.4f}" for loss in losses[engine, precision])
        print(f"{engine} {precision}: {ends}; {time.perf_counter() - began:.1f} s", flush=True)
    base = losses[KINDS[0]]
    noise = statistics.stdev(base)
    print(f"torch over {given.seeds} seeds: {statistics.fmean(base):.4f} nats a token, standard deviation {noise:.4f}")
    for engine, precision in KINDS[1:]:
        pairs = [ours - theirs for ours, theirs in zip(losses[engine, precision], base, strict=True)]
        mean, error = statistics.fmean(pairs), statistics.stdev(pairs) / math.sqrt(len(pairs))
        print(
            f"{engine} {precision} - torch: {mean:+.1e} +- {error:.1e} nats, largest {max(map(abs, pairs)):.1e}; "
            f"{abs(mean) / noise:.1%} of the deviation over seeds"
        )


if __name__ == "__main__":
    main()
