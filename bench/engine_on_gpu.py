"""Is a training step in Triton on this GPU that of the plain definitions on a CPU? Losses of ten steps.

python bench/engine_on_gpu.py      prints the largest difference of the losses of four models, by precision
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from isoflop import Shape
from isoflop.train.engine.step import Step

MODELS, BATCH, STEPS = 4, 8, 10
SHAPE = Shape(n_layer=2, d_model=64, n_head=2, n_ctx=64, n_vocab=256)
EXPERTS = replace(SHAPE, n_expert=4, top_k=2, n_shared_expert=1, d_expert=64, n_dense_layer=1, capacity_factor=1.25)
REGIMES: dict[str, dict[str, Any]] = {
    "adamw": {},
    "z-loss": {"z_loss": 1e-3},
    "muon": {"optimizer": "muon"},
    "adafactor": {"optimizer": "adafactor"},
    "averaged": {"averaged": True},
    "dropout": {"dropout": 0.1},
    "micro-batches": {"micro_batches": 2},
    "experts": {"shape": EXPERTS, "balance_loss": 0.1, "eps": 1e-5},
    "experts, muon": {"shape": EXPERTS, "optimizer": "muon", "eps": 1e-5},
    "experts, adafactor": {"shape": replace(EXPERTS, bias=False), "optimizer": "adafactor"},
}


def losses(backend: str, *, shape: Shape = SHAPE, **settings: Any) -> torch.Tensor:
    """Of every step (STEPS, MODELS), float64."""
    step = Step(
        shape, models=MODELS, batch=BATCH, backend=backend, lr=1e-3, weight_decay=0.1, clip=1.0, **settings
    )  # fmt: skip
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(STEPS):
        tokens, targets = torch.randint(SHAPE.n_vocab, (2, MODELS, BATCH, SHAPE.n_ctx), generator=generator)
        step.step(tokens, targets)
        found.append(step.losses.detach().cpu().double())
    return torch.stack(found)


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here")
    for name, settings in REGIMES.items():
        plain = losses("reference", **settings)
        for dtype in (torch.float32, torch.bfloat16):
            apart = float((losses("triton", dtype=dtype, **settings) - plain).abs().max())
            print(f"{name:14s} {dtype!s:15s} {apart:.1e}", flush=True)
