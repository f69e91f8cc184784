"""GFLOP/s of one core in the native products of matrices, beside torch's, of the sizes of small models.

    python bench/native_products.py [--rounds 30]

A row is y = x W^T of x (M, I), W (O, I), its gradients dx = dy W and dW = dy^T x in one figure, the packing of W and
the rounding of operands among them. Torch's are its float32 and its bfloat16 products on tensors that are bfloat16
already. All take turns; the fastest of the rounds counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import thread_time

import torch
from torch import Tensor

from isoflop.cli.console import print_table
from isoflop.kernels.native.call import call, instruction_set, packed_bytes, use

SIZES = [
    (2048, 128, 512), (2048, 256, 1024), (2048, 64, 256), (2048, 32, 128), (1024, 16, 64),
    (512, 128, 512), (512, 256, 1024), (512, 64, 256), (512, 32, 128), (512, 16, 64),
]  # fmt: skip

REPEATS = 16  # in a turn: the time is that of caches that are warm, and none of the interpreter's


def theirs(x: Tensor, weight: Tensor, dy: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """Torch's forward and backward, into tensors that are there."""
    y, dx, dweight = torch.empty_like(dy), torch.empty_like(x), torch.empty_like(weight)

    def forward() -> None:
        for _ in range(REPEATS):
            torch.mm(x, weight.T, out=y)

    def backward() -> None:
        for _ in range(REPEATS):
            torch.mm(dy, weight, out=dx)
            torch.mm(dy.T, x, out=dweight)

    return forward, backward


def ours(x: Tensor, weight: Tensor, dy: Tensor, products: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The native op's forward and backward, as of so many models that all have the same memory."""
    sizes = [*x.shape, weight.shape[0]]
    y, dx, dweight = torch.empty_like(dy), torch.empty_like(x), torch.empty_like(weight)

    def repeated(op: str, tensors: list[Tensor | None], kept: int) -> None:
        models = [None if each is None else each.expand(REPEATS, *each.shape) for each in tensors]
        with use(products=products):
            call(op, models, sizes, kept=kept)

    def forward() -> None:
        repeated("linear", [x, weight, None, None, y], packed_bytes(sizes[1], sizes[2]))

    def backward() -> None:
        repeated("linear_backward", [dy, x, weight, dx, dweight, None], packed_bytes(sizes[2], sizes[1]))

    return forward, backward


def fastest(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of the thread in each call, the least of ``rounds`` that go through all of them in turn."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, run in enumerate(calls):
            begin = thread_time()
            run()
            best[index] = min(best[index], thread_time() - begin)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    names = ["native float32", "torch float32", "native bfloat16", "torch bfloat16"]
    table = []
    for rows, inner, width in SIZES:
        x, weight, dy = torch.randn(rows, inner), torch.randn(width, inner), torch.randn(rows, width)
        low = [each.bfloat16() for each in (x, weight, dy)]
        pairs = [ours(x, weight, dy, "float32"), theirs(x, weight, dy), ours(x, weight, dy, "bfloat16"), theirs(*low)]
        seconds = fastest([run for pair in pairs for run in pair], rounds)
        flops = 2e-9 * REPEATS * rows * inner * width
        cells = [f"{flops / seconds[i]:.0f} / {2 * flops / seconds[i + 1]:.0f}" for i in range(0, 8, 2)]
        table.append([f"{rows}, {inner}, {width}", *cells])
    print_table([f"M, I, O ({instruction_set()})", *names], table)


if __name__ == "__main__":
    main()
