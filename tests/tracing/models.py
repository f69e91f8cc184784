"""Small models of every kind that counters get wrong, and what their forward matrix products cost, written out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

D, T, B, V, LAYERS, HEADS = 32, 24, 2, 50, 2, 4
D_HEAD = D // HEADS


class Block(nn.Module):
    """Pre-norm attention and MLP; ``attention`` is "sdpa", "manual" or "window"."""

    def __init__(self, attention: str, kv_heads: int = HEADS, d_ff: int = 4 * D, gated: bool = False) -> None:
        super().__init__()
        self.attention, self.kv_heads, self.gated = attention, kv_heads, gated
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv = nn.Linear(D, (HEADS + 2 * kv_heads) * D_HEAD)
        self.out = nn.Linear(D, D)
        self.up = nn.Linear(D, 2 * d_ff if gated else d_ff)
        self.down = nn.Linear(d_ff, D)

    def mix(self, x: Tensor) -> Tensor:
        packed = self.qkv(x).view(*x.shape[:2], -1, D_HEAD).transpose(1, 2)
        q, k, v = torch.split(packed, [HEADS, self.kv_heads, self.kv_heads], dim=1)
        mask = window(x.shape[1], 5)
        if self.attention == "sdpa":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kv_heads != HEADS)
        elif self.attention == "window":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            scores = (q @ k.transpose(-2, -1)) / D_HEAD**0.5
            y = scores.masked_fill(~window(x.shape[1], x.shape[1]), float("-inf")).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(x.shape))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self.norm1(x))
        hidden = self.up(self.norm2(x))
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            hidden = F.silu(gate) * value
        else:
            hidden = F.gelu(hidden)
        return x + self.down(hidden)


class Decoder(nn.Module):
    """Tokens (batch, seq) to logits."""

    def __init__(self, **block: object) -> None:
        super().__init__()
        self.tokens = nn.Embedding(V, D)
        self.blocks = nn.ModuleList(Block(**block) for _ in range(LAYERS))  # type: ignore[arg-type]
        self.head = nn.Linear(D, V, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class MixtureLoop(nn.Module):
    """Two of eight experts a token, one expert after another."""

    def __init__(self, experts: int = 8, d_ff: int = 2 * D) -> None:
        super().__init__()
        self.router = nn.Linear(D, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(D, d_ff, bias=False), nn.GELU(), nn.Linear(d_ff, D, bias=False))
            for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, D)
        weights, chosen = self.router(rows).softmax(-1).topk(2)
        out = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            row, slot = torch.where(chosen == number)
            out = out.index_add(0, row, expert(rows[row]) * weights[row, slot, None])
        return out.view(x.shape)


class MixtureGrouped(nn.Module):
    """The same experts in one grouped product each way."""

    def __init__(self, experts: int = 8, d_ff: int = 2 * D) -> None:
        super().__init__()
        self.router = nn.Linear(D, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, D, d_ff, dtype=torch.bfloat16) / 8)
        self.down = nn.Parameter(torch.randn(experts, d_ff, D, dtype=torch.bfloat16) / 8)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, D)
        weights, chosen = self.router(rows).softmax(-1).topk(2)
        order = chosen.flatten().argsort()
        counts = torch.bincount(chosen.flatten(), minlength=self.up.shape[0])
        ends = counts.cumsum(0).to(torch.int32)
        sorted_rows = rows[order // 2].to(torch.bfloat16)
        hidden = F.gelu(torch._grouped_mm(sorted_rows, self.up, offs=ends))
        out = torch._grouped_mm(hidden, self.down, offs=ends).float() * weights.flatten()[order, None]
        return torch.zeros_like(rows).index_add(0, order // 2, out).view(x.shape)


class ResNet(nn.Module):
    """Images (batch, 3, 16, 16); one residual stage with a strided, a depthwise and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.strided = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.shortcut = nn.Conv2d(8, 16, 1, stride=2, bias=False)
        self.back = nn.ConvTranspose2d(16, 4, 2, stride=2, bias=False)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.depthwise(self.strided(x)) + self.shortcut(x))
        return self.head(self.back(x).mean((2, 3)))


# positions times weights of each convolution, stem first
RESNET_STEM = 2 * 256 * (8 * 3 * 9)
RESNET_REST = 2 * (64 * 16 * 8 * 9 + 64 * 16 * 9 + 64 * 16 * 8 + 64 * 16 * 4 * 4 + 4 * 10)


def window(seq: int, width: int) -> Tensor:
    """True where query i sees key j: j <= i < j + width."""
    i, j = torch.arange(seq)[:, None], torch.arange(seq)
    return (j <= i) & (i < j + width)


def decoder_forward(pairs: int, kv_heads: int = HEADS, d_ff: int = 4 * D, gated: bool = False) -> int:
    """Matrix products of a Decoder's forward pass; ``pairs`` of a sequence."""
    linear = D * (HEADS + 2 * kv_heads) * D_HEAD + D * D + (3 if gated else 2) * D * d_ff
    return LAYERS * (2 * B * T * linear + 4 * B * D * pairs) + 2 * B * T * D * V


def mixture_forward(d_ff: int = 2 * D, experts: int = 8) -> int:
    """Router and two experts of every token."""
    return 2 * B * T * D * experts + 2 * (2 * B * T) * (2 * D * d_ff)
