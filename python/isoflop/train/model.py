"""The decoder-only Transformer that a :class:`~isoflop.Shape` describes, in plain torch: the readable reference.

Pre-norm blocks: x += attention(norm(x)); x += mlp(norm(x)); a final norm; logits against the token table where tied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isoflop.kernels import reference as ops
from isoflop.kernels.gpt_parameters import first_value
from isoflop.shape import Shape
from isoflop.train.spec import refuse_untrainable


class Norm(nn.Module):
    """Layer or RMS norm with a gain, and a bias where the shape has biases and the norm is ``layer``."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind = shape.norm
        self.gain = nn.Parameter(torch.ones(shape.d_model))
        has_bias = shape.bias and shape.norm == "layer"
        self.bias = nn.Parameter(torch.zeros(shape.d_model)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        return ops.norm(x, self.gain, self.bias, kind=self.kind)


class Attention(nn.Module):
    """Causal self-attention with grouped key/value heads: (batch, seq, d_model) -> the same."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = [shape.n_head, shape.n_kv_head, shape.n_kv_head]
        self.d_head = shape.d_head
        self.rotary = shape.position == "rope"
        self.qkv = nn.Linear(shape.d_model, sum(self.heads) * shape.d_head, bias=shape.bias)
        self.proj = nn.Linear(shape.n_head * shape.d_head, shape.d_model, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, seq, _ = x.shape
        packed = ops.linear(x, self.qkv.weight, self.qkv.bias).view(batch, seq, sum(self.heads), self.d_head)
        q, k, v = torch.split(packed.transpose(1, 2), self.heads, dim=1)
        if self.rotary:
            q, k = ops.rope(q), ops.rope(k)
        values = ops.attention(q, k, v).transpose(1, 2).reshape(batch, seq, -1)
        return ops.linear(values, self.proj.weight, self.proj.bias)


class MLP(nn.Module):
    """Feed-forward: d_model -> d_ff -> d_model, with twice the input rows for a gated activation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind = shape.activation
        rows = 2 * shape.d_ff if shape.activation == "swiglu" else shape.d_ff
        self.fc = nn.Linear(shape.d_model, rows, bias=shape.bias)
        self.proj = nn.Linear(shape.d_ff, shape.d_model, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        return ops.mlp(x, self.fc.weight, self.fc.bias, self.proj.weight, self.proj.bias, kind=self.kind)


class Block(nn.Module):
    """One pre-norm Transformer block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1, self.attention = Norm(shape), Attention(shape)
        self.norm2, self.mlp = Norm(shape), MLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Transformer(nn.Module):
    """The whole model; ``forward(tokens, targets)`` is the mean cross-entropy in nats/token.

    Its parameters number exactly ``shape.n_params``; ``isoflop.kernels.gpt_parameters.first_value`` draws them from
    ``generator``. Raises ShapeError for what is not a plain decoder.
    """

    def __init__(self, shape: Shape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        refuse_untrainable(shape)
        self.shape = shape
        self.tokens = nn.Parameter(torch.empty(shape.n_vocab, shape.d_model))
        learned = shape.position == "learned"
        self.positions = nn.Parameter(torch.empty(shape.n_ctx, shape.d_model)) if learned else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.norm = Norm(shape)
        self.unembed = None if shape.tied_embeddings else nn.Parameter(torch.empty(shape.n_vocab, shape.d_model))
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        for name, parameter in self.named_parameters():
            first_value(name, parameter, self.shape, generator)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Final normed residual stream: (batch, seq) int64 -> (batch, seq, d_model)."""
        x: Tensor = ops.embed(tokens, self.tokens, self.positions)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def forward(self, tokens: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
        """Cross-entropy in nats/token of ``targets`` (batch, seq) given ``tokens`` (batch, seq)."""
        table = self.tokens if self.unembed is None else self.unembed
        return ops.linear_cross_entropy(self.hidden(tokens), table, targets, reduction=reduction)
