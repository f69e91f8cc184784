"""K decoders of one shape: their parameters, the ops that compute them, and the tensors that these write to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from isoflop.shape import Shape
from isoflop.train.engine.room import Room

ROPE_BASE = 10_000.0
MLP = ("mlp.fc.weight", "mlp.fc.bias", "mlp.proj.weight", "mlp.proj.bias", "norm2.gain", "norm2.bias")
_BIASES = ("norm1.bias", "attention.qkv.bias", "attention.proj.bias", "norm2.bias", "mlp.fc.bias", "mlp.proj.bias")


@dataclass(frozen=True)
class Launchers:
    """The ops of one backend: of each a ``forward`` and a ``backward`` of the same arguments in all backends.

    Arguments and results are those of the Triton launchers of that name in ``isoflop.kernels``, but for:
    ``mlp.backward`` also takes what ``mlp.forward`` gave (``saved``), whose first or only tensor is the result;
    ``cross_entropy.backward`` takes the whole loss that its ``forward`` gave. ``heads`` joins and splits them.
    """

    embed: Any
    norm: Any
    qkv: Any
    attention: Any
    heads: Any
    linear: Any
    mlp: Any
    hidden: Any
    cross_entropy: Any


@dataclass(frozen=True)
class Network:
    """K models of one shape: parameters and gradients (K, ...) by name, and the room they are computed in.

    ``fused``: whether the MLP is one op. Gradients are there from the first backward pass on.
    """

    shape: Shape
    weights: dict[str, Tensor]
    ops: Launchers
    fused: bool = True
    grads: dict[str, Tensor] = field(default_factory=dict)
    room: Room = field(default_factory=Room)

    def layer(self, index: int) -> dict[str, Tensor | None]:
        """The parameters of a block, by their names in it: None for the biases it lacks."""
        prefix = f"blocks.{index}."
        named = {name.removeprefix(prefix): each for name, each in self.weights.items() if name.startswith(prefix)}
        return dict.fromkeys(_BIASES) | named

    @property
    def base(self) -> float | None:
        """Of rotary positions, if there are any."""
        return ROPE_BASE if self.shape.position == "rope" else None

    @property
    def unembedding(self) -> Tensor:
        """(K, V, D): the token table, where tied."""
        return self.weights["tokens" if self.shape.tied_embeddings else "unembed"]
