"""FLOPs of one forward pass of a decoder, counted by every tool that may be installed; each is imported when asked.

All count the same model of torch's own modules; what counts multiply-adds is doubled. ``products`` is what there is
to count: all products of matrices, over all pairs of positions.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Sizes(NamedTuple):
    """Of a decoder, and positions of the one sequence that goes through it."""

    n_layer: int
    d_model: int
    n_head: int
    n_vocab: int
    seq: int


GPT2 = Sizes(12, 768, 12, 50257, 1024)
"""GPT-2 small, Radford et al. 2019."""


def products(sizes: Sizes) -> int:
    """FLOPs of all products of matrices, none masked."""
    a_layer = 24 * sizes.d_model**2 + 4 * sizes.seq * sizes.d_model
    return sizes.seq * (sizes.n_layer * a_layer + 2 * sizes.d_model * sizes.n_vocab)


class Block(nn.Module):
    """Of modules that every counter knows."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, self.n_head = sizes.d_model, sizes.n_head
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for each in self.qkv(self.first(x)).chunk(3, -1)
        )
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(-2))
        widened: Tensor = self.mlp(self.second(x))
        return x + widened


def decoder(sizes: Sizes) -> nn.Module:
    """Embedding, blocks, norm and unembedding: no positions, which cost no products."""
    blocks = [Block(sizes) for _ in range(sizes.n_layer)]
    ends = nn.LayerNorm(sizes.d_model), nn.Linear(sizes.d_model, sizes.n_vocab, bias=False)
    return nn.Sequential(nn.Embedding(sizes.n_vocab, sizes.d_model), *blocks, *ends).eval()


def by_shape(sizes: Sizes) -> float:
    """This package's, from the numbers alone."""
    from isoflop.counting import flops
    from isoflop.shape import Shape

    shape = Shape(
        n_layer=sizes.n_layer, d_model=sizes.d_model, n_head=sizes.n_head, n_ctx=sizes.seq, n_vocab=sizes.n_vocab
    )
    return float(flops(shape, seq=sizes.seq).per_token("exact")) * sizes.seq / 3  # forward is a third of training


def by_trace(model: nn.Module, tokens: Tensor) -> float:
    """This package's, as the model runs."""
    from isoflop.tracing import trace

    with trace(model) as counted:
        model(tokens)
    return float(counted.forward.products)


def by_torch(model: nn.Module, tokens: Tensor) -> float:
    """torch's own counter."""
    counter = importlib.import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter:
        model(tokens)
    return float(counter.get_total_flops())


def by_fvcore(model: nn.Module, tokens: Tensor) -> float:
    """``fvcore``, which says once which operations it does not know."""
    return 2.0 * float(importlib.import_module("fvcore.nn").FlopCountAnalysis(model, tokens).total())


def by_calflops(model: nn.Module, tokens: Tensor) -> float:
    """``calflops``."""
    count: Any = importlib.import_module("calflops").calculate_flops
    return float(count(model, args=[tokens], print_results=False, output_as_string=False)[0])


def by_thop(model: nn.Module, tokens: Tensor) -> float:
    """``thop``."""
    return 2.0 * float(importlib.import_module("thop").profile(model, inputs=(tokens,), verbose=False)[0])


def by_torchinfo(model: nn.Module, tokens: Tensor) -> float:
    """``torchinfo``."""
    summary: Any = importlib.import_module("torchinfo").summary
    return 2.0 * float(summary(model, input_data=tokens, verbose=0).total_mult_adds)


def tokens_of(sizes: Sizes) -> Tensor:
    """One sequence."""
    return torch.zeros(1, sizes.seq, dtype=torch.long)
