"""Microseconds of one core in the native ops beside torch's eager ones, forward and backward, of parts of batches.

    python bench/native_ops.py [--rounds 30]

A row is one model's op on as many rows as a thread takes at a time: the projection with its residual, norm with the
projection to heads, the MLP with norm and residual. Torch runs the same forward pass and autograd in float32. All take
turns; the fastest of the rounds counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from native_products import fastest
from torch import Tensor

from isoflop.cli.console import print_table
from isoflop.kernels import reference
from isoflop.kernels.native import linear, mlp, norm, qkv
from isoflop.kernels.native.call import PRODUCTS, instruction_set, use

SHAPES = [(16, 64, 16, 1), (16, 64, 32, 1), (4, 128, 64, 4), (2, 128, 128, 4), (1, 256, 256, 8)]  # B, T, d_model, heads
Call = Callable[[], object]


def projection(x: Tensor, **_: int) -> tuple[Call, Callable[..., Tensor], list[Tensor]]:
    width = x.shape[-1]
    given = [x.flatten(1, 2), torch.randn(1, width, width) / width**0.5, torch.zeros(1, width), x.flatten(1, 2)]

    def ours() -> None:
        linear.backward(linear.forward(*given), *given[:2], has_bias=True)

    return ours, reference.linear, given


def heads(x: Tensor, n_head: int) -> tuple[Call, Callable[..., Tensor], list[Tensor]]:
    width = x.shape[-1]
    vectors = [torch.ones(1, width), torch.zeros(1, width)]
    given = [x, *vectors, torch.randn(1, 3 * width, width) / width**0.5, torch.zeros(1, 3 * width)]
    settings = {"kind": "layer", "n_head": n_head, "n_kv_head": n_head}

    def ours() -> None:
        *projected, mean, rstd = qkv.forward(*given, **settings)
        made = qkv.product_gradients(*projected, *given[:4], mean, rstd, has_bias=True)
        norm.backward(
            made.dn.flatten(1, 2), x.flatten(1, 2), vectors[0], mean.flatten(1), rstd.flatten(1), has_bias=True
        )

    return ours, lambda *leaves: torch.cat([each.flatten() for each in reference.norm_qkv(*leaves, **settings)]), given


def whole_mlp(x: Tensor, **_: int) -> tuple[Call, Callable[..., Tensor], list[Tensor]]:
    width, rows = x.shape[-1], x.flatten(1, 2)
    into, out = torch.randn(1, 4 * width, width) / width**0.5, torch.randn(1, width, 4 * width) / (4 * width) ** 0.5
    given = [rows, into, torch.zeros(1, 4 * width), out, torch.zeros(1, width), torch.ones(1, width)]
    given.append(torch.zeros(1, width))
    settings = {"kind": "gelu", "norm": "layer", "residual": True}

    def ours() -> None:
        mlp.backward(mlp.forward(*given, **settings), *given, **settings)

    return ours, partial(reference.mlp, **settings), given


def eager(definition: Callable[..., Tensor], given: list[Tensor]) -> Call:
    """The definition of one model and its gradients by autograd."""
    leaves = [each[0].clone().requires_grad_() for each in given]

    def run() -> None:
        y = definition(*leaves)
        torch.autograd.grad(y, leaves, y.detach())

    return run


def with_products(products: str, call: Call) -> Call:
    def run() -> None:
        with use(products=products):
            call()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    table = []
    for batch, seq, width, n_head in SHAPES:
        x = torch.randn(1, batch, seq, width)
        for name, make in (("linear", projection), ("norm_qkv", heads), ("mlp", whole_mlp)):
            ours, definition, given = make(x, n_head=n_head)
            calls = [*(with_products(products, ours) for products in PRODUCTS), eager(definition, given)]
            seconds = fastest(calls, rounds)
            ratios = " / ".join(f"{seconds[2] / each:.1f}" for each in seconds[:2])
            table.append([f"{name} {batch} x {seq}, {width}", *(f"{1e6 * each:.0f}" for each in seconds), ratios])
    columns = [f"rows and width ({instruction_set()})", *(f"native {each}" for each in PRODUCTS), "torch", "times"]
    print_table(columns, table)


if __name__ == "__main__":
    main()
