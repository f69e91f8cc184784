"""What a decoder is made of, in plain torch over the reference ops: norms, attention, MLPs, experts, blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isoflop.kernels import reference as ops
from isoflop.kernels.parameter_sizes import window_of
from isoflop.shape import Shape
from isoflop.train.drops import Drops, dropped
from isoflop.train.parametrisation import Parametrisation


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
    """Causal self-attention with grouped key/value heads: (batch, seq, d_model) -> the same.

    ``layer``, counted from 0, has the window that the shape gives it; drops are those of attention weights.
    """

    def __init__(self, shape: Shape, layer: int, parametrisation: Parametrisation) -> None:
        super().__init__()
        self.heads = [shape.n_head, shape.n_kv_head, shape.n_kv_head]
        self.d_head = shape.d_head
        self.rotary = shape.position == "rope"
        self.window = window_of(shape, layer)
        self.scale = parametrisation.attention_scale(shape)
        self.qkv = nn.Linear(shape.d_model, sum(self.heads) * shape.d_head, bias=shape.bias)
        self.proj = nn.Linear(shape.n_head * shape.d_head, shape.d_model, bias=shape.bias)

    def forward(self, x: Tensor, drops: Drops | None = None) -> Tensor:
        batch, seq, _ = x.shape
        packed = ops.linear(x, self.qkv.weight, self.qkv.bias).view(batch, seq, sum(self.heads), self.d_head)
        q, k, v = torch.split(packed.transpose(1, 2), self.heads, dim=1)
        if self.rotary:
            q, k = ops.rope(q), ops.rope(k)
        attend = ops.attention if drops is None else drops.attend
        values = attend(q, k, v, window=self.window, scale=self.scale)
        return ops.linear(values.transpose(1, 2).reshape(batch, seq, -1), self.proj.weight, self.proj.bias)


class MLP(nn.Module):
    """Feed-forward: d_model -> d_ff -> d_model, with twice the input rows for a gated activation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind = shape.activation
        self.fc = nn.Linear(shape.d_model, _rows(shape, shape.d_ff), bias=shape.bias)
        self.proj = nn.Linear(shape.d_ff, shape.d_model, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        return ops.mlp(x, self.fc.weight, self.fc.bias, self.proj.weight, self.proj.bias, kind=self.kind)


class Stack(nn.Module):
    """The linear maps of ``count`` experts: weights (count, outputs, inputs), biases (count, outputs) or None."""

    def __init__(self, count: int, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(count, outputs)) if bias else None

    def of(self, expert: int) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of one expert."""
        return self.weight[expert], None if self.bias is None else self.bias[expert]


class ExpertMLPs(nn.Module):
    """``count`` MLPs of hidden width d_expert."""

    def __init__(self, shape: Shape, count: int, d_expert: int) -> None:
        super().__init__()
        self.kind, self.count = shape.activation, count
        self.fc = Stack(count, shape.d_model, _rows(shape, d_expert), bias=shape.bias)
        self.proj = Stack(count, d_expert, shape.d_model, bias=shape.bias)

    def forward(self, x: Tensor, expert: int) -> Tensor:
        return ops.mlp(x, *self.fc.of(expert), *self.proj.of(expert), kind=self.kind)


class Experts(nn.Module):
    """A mixture: each token's ``top_k`` routed experts times their gates, and all shared experts, added up.

    Gates are probabilities among all experts, not renormalised; beyond its capacity an expert takes no token.
    """

    def __init__(self, shape: Shape, parametrisation: Parametrisation) -> None:
        super().__init__()
        assert shape.n_expert is not None
        assert shape.top_k is not None
        assert shape.d_expert is not None
        self.top_k, self.capacity_factor = shape.top_k, shape.capacity_factor
        self.multiplier = parametrisation.forward("output", shape)
        self.router = nn.Parameter(torch.empty(shape.n_expert, shape.d_model))
        self.routed = ExpertMLPs(shape, shape.n_expert, shape.d_expert)
        self.shared = ExpertMLPs(shape, shape.n_shared_expert, shape.d_expert) if shape.n_shared_expert else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the experts, and the load-balancing loss of ``ops.moe_route``, 1 where the load is even."""
        rows = x.flatten(0, -2)
        gates, balance, _ = ops.moe_route(
            rows, self.router * self.multiplier, top_k=self.top_k, capacity_factor=self.capacity_factor
        )
        y = torch.zeros_like(rows)
        for expert in range(self.routed.count):
            chosen = gates[:, expert].nonzero().squeeze(1)
            gated = gates[chosen, expert, None].to(x.dtype) * self.routed(rows[chosen], expert)
            y = y.index_add(0, chosen, gated)
        if self.shared is not None:
            for expert in range(self.shared.count):
                y = y + self.shared(rows, expert)
        return y.view_as(x), balance


class Block(nn.Module):
    """One pre-norm block, layer ``layer`` from 0; drops are those of what is added to the residual stream too."""

    def __init__(self, shape: Shape, layer: int, parametrisation: Parametrisation) -> None:
        super().__init__()
        self.norm1, self.attention = Norm(shape), Attention(shape, layer, parametrisation)
        self.norm2 = Norm(shape)
        dense = shape.n_expert is None or layer < shape.n_dense_layer
        self.mlp = MLP(shape) if dense else Experts(shape, parametrisation)

    def forward(self, x: Tensor, drops: Drops | None = None) -> tuple[Tensor, list[Tensor]]:
        """The residual stream after the block, and the load-balancing loss of its experts, where it has any."""
        x = x + dropped(self.attention(self.norm1(x), drops), drops)
        made = self.mlp(self.norm2(x))
        y, *balance = made if isinstance(self.mlp, Experts) else (made,)
        return x + dropped(y, drops), balance


def _rows(shape: Shape, hidden: int) -> int:
    return 2 * hidden if shape.activation == "swiglu" else hidden
