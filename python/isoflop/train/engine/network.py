"""K decoders of one shape: their parameters, the ops that compute them, and the tensors that these write to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from isoflop.kernels.parameter_sizes import is_mixture
from isoflop.kernels.signatures import Chance
from isoflop.shape import Shape
from isoflop.train.engine.room import Room

ROPE_BASE = 10_000.0
MLP = ("mlp.fc.weight", "mlp.fc.bias", "mlp.proj.weight", "mlp.proj.bias", "norm2.gain", "norm2.bias")
EXPERTS = (
    "mlp.router",
    *(f"mlp.routed.{part}.{what}" for what in ("weight", "bias") for part in ("fc", "proj")),
    *(f"mlp.shared.{part}.{what}" for what in ("weight", "bias") for part in ("fc", "proj")),
)
"""The parameters of a block's MLP, or of its experts, in the order in which the ops take them."""
_ABSENT = ("norm1.bias", "attention.qkv.bias", "attention.proj.bias", *MLP, *EXPERTS)


@dataclass(frozen=True)
class Launchers:
    """The ops of one backend: of each a ``forward`` and a ``backward`` of the same arguments in all backends.

    Arguments and results are those of the Triton launchers of that name in ``isoflop.kernels``, but for:
    ``mlp.backward`` also takes what ``mlp.forward`` gave (``saved``), whose first or only tensor is the result;
    ``cross_entropy.backward`` takes the whole loss that its ``forward`` gave. ``heads`` joins and splits them.
    ``scale`` and ``dropout``, whose gradients are themselves, and ``moe`` are of networks that have them alone.
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
    scale: Any = None
    dropout: Any = None
    moe: Any = None


@dataclass(frozen=True)
class Dropout:
    """What K models drop: ``rate`` (K,) float64, by ``seed`` and ``step``, the updates made before, (K,) int64.

    ``first_element`` of the residual stream and ``first_weight`` of attention are the numbers (K,) int64 that these
    have in the whole batch.
    """

    rate: Tensor
    seed: Tensor
    step: Tensor
    first_element: Tensor
    first_weight: Tensor

    def of_stream(self, op: int) -> Chance:
        return Chance(self.rate, self.seed, self.step, self.first_element, op)

    def of_weights(self, op: int) -> Chance:
        return Chance(self.rate, self.seed, self.step, self.first_weight, op)


def place_of_drop(layer: int, which: str) -> int:
    """The number of an op that drops, of "attention", "proj" or "mlp", in the order of a pass; that of embed is 0."""
    return 1 + 3 * layer + ("attention", "proj", "mlp").index(which)


@dataclass(frozen=True)
class Network:
    """K models of one shape: parameters and gradients (K, ...) by name, and the room they are computed in.

    ``fused``: whether the MLP is one op. Gradients are there from the first backward pass on. Logits and scores are
    multiplied by scales (K,) float64, where there are any. ``balance`` (K,) float32 is the gradient of the
    load-balancing loss of each layer of experts.
    """

    shape: Shape
    weights: dict[str, Tensor]
    ops: Launchers
    fused: bool = True
    grads: dict[str, Tensor] = field(default_factory=dict)
    room: Room = field(default_factory=Room)
    logit_scale: Tensor | None = None
    score_scale: Tensor | None = None
    dropout: Dropout | None = None
    balance: Tensor | None = None

    def scaled(self, place: str, x: Tensor, factor: Tensor | None) -> Tensor:
        """``x``, or its gradient, times ``factor``: itself where there is none."""
        made: Tensor = x if factor is None else self.room.fill(place, self.ops.scale.forward, x, factor=factor)
        return made

    def dropped(self, place: str, x: Tensor, op: int, residual: Tensor | None = None) -> Tensor:
        """``x``, or its gradient, without what the op of this number drops, plus ``residual``."""
        if self.dropout is None:
            return x
        by = self.dropout.of_stream(op)
        made: Tensor = self.room.fill(
            place, self.ops.dropout.forward, x, by.seed, by.step, residual, by.start, rate=by.rate, op=by.op
        )
        return made

    def of_attention(self, layer: int) -> dict[str, Any]:
        """The settings of attention that models have of their own: scales of scores, and what weights they drop."""
        scale = {} if self.score_scale is None else {"scale": self.score_scale}
        if self.dropout is None:
            return scale
        return {**scale, "chance": self.dropout.of_weights(place_of_drop(layer, "attention"))}

    def layer(self, index: int) -> dict[str, Tensor | None]:
        """The parameters of a block, by their names in it: None for those it lacks."""
        prefix = f"blocks.{index}."
        named = {name.removeprefix(prefix): each for name, each in self.weights.items() if name.startswith(prefix)}
        return dict.fromkeys(_ABSENT) | named

    def is_mixture(self, layer: int) -> bool:
        """Whether a block has experts in the place of one MLP."""
        return is_mixture(self.shape, layer)

    @property
    def whole_mlp(self) -> bool:
        """Whether the MLP, its norm and its residual stream are one op: nothing is dropped within."""
        return self.fused and self.dropout is None

    @property
    def base(self) -> float | None:
        """Of rotary positions, if there are any."""
        return ROPE_BASE if self.shape.position == "rope" else None

    @property
    def unembedding(self) -> Tensor:
        """(K, V, D): the token table, where tied."""
        return self.weights["tokens" if self.shape.tied_embeddings else "unembed"]
