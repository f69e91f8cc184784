"""What memory a stack of K models takes, measured and counted: ``python bench/engine_memory.py``.

Each stack is trained and judged in a process of its own, whose peak resident memory is read at the end; so is that of
a process that has only imported what they need. The growth from the smallest to the largest stack, a model, stands
beside the engine's own count of its bytes and beside ``isoflop.counting.memory`` of one model: its parameters and
optimizer, which every model has, and its gradients and activations, of which the engine has some a thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

import torch

import isoflop as iso
from isoflop.counting.footprint import memory
from isoflop.train.engine.step import Step

STACKS = (1, 4, 16)
BATCH, STEPS = 16, 3
SHAPES = {
    "d64": iso.Shape(n_layer=2, d_model=64, n_head=4, n_ctx=128, n_vocab=256),
    "d128": iso.Shape(n_layer=4, d_model=128, n_head=4, n_ctx=128, n_vocab=256),
    "d256": iso.Shape(n_layer=6, d_model=256, n_head=8, n_ctx=256, n_vocab=256),
}
MIB = 1 << 20


def peak() -> int:
    """Bytes this process has had at most in memory."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one(name: str, models: int) -> dict[str, Any]:
    """Train ``models`` of a shape for some steps; 0 models: do no more than import."""
    torch.set_num_threads(1)
    shape = SHAPES[name]
    held: dict[str, int] = {}
    if models:
        step = Step(shape, models=models, batch=BATCH, backend="native")
        tokens, targets = torch.randint(shape.n_vocab, (2, models, BATCH, shape.n_ctx))
        for _ in range(STEPS):
            step.step(tokens, targets)
        held = step.memory | {"tokens": 4 * tokens.nbytes}
    return {"peak": peak(), "held": held}


def apart(name: str, models: int) -> dict[str, Any]:
    """The same in a process of its own."""
    made = subprocess.run(
        [sys.executable, __file__, "--one", name, str(models)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def report(name: str) -> None:
    shape = SHAPES[name]
    counted = memory(shape, batch=BATCH, state="fp32", dropout=False)
    base = apart(name, 0)["peak"]
    found = {models: apart(name, models) for models in STACKS}
    print(f"{name}: {shape.n_params} parameters, batch {BATCH} x {shape.n_ctx}")
    for models, each in found.items():
        held = ", ".join(f"{kind} {size / MIB:.1f}" for kind, size in each["held"].items())
        print(f"  K = {models:2}: peak {(each['peak'] - base) / MIB:7.1f} MiB past the imports; the engine: {held}")
    least, most = STACKS[0], STACKS[-1]
    growth = {
        "measured": (found[most]["peak"] - found[least]["peak"]) / (most - least),
        "the engine's count": sum(found[most]["held"].values()) - sum(found[least]["held"].values()),
        "counting.memory, parameters + optimizer": counted.parameters + counted.optimizer,
        "counting.memory, + gradients + activations": counted.total,
    }
    growth["the engine's count"] /= most - least
    for kind, size in growth.items():
        print(f"    a model more, {kind}: {size / MIB:.2f} MiB ({growth['measured'] / size:.2f} measured / this)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("SHAPE", "K"), help="print what one process takes")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.one[0], int(given.one[1]))))
        return
    for name in SHAPES:
        report(name)


if __name__ == "__main__":
    main()
