"""The forward pass of K decoders of one shape over the launchers of the op set, each result held for the backward pass.

embed; in each block norm + projection + rotary positions, attention, projection + residual, and the MLP, in one kernel
where its tables hold rows so wide, else norm, linear, activation, linear + residual; then norm and cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from isoflop.kernels import attention, cross_entropy, embed, hidden, linear, mlp, norm, qkv
from isoflop.kernels.configurations import chip_of, folder, table
from isoflop.kernels.cross_entropy import Loss
from isoflop.kernels.gpt_parameters import window_of
from isoflop.kernels.heads import join_heads
from isoflop.kernels.room import Room
from isoflop.shape import Shape

ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class Network:
    """K models of one shape: parameters and gradients (K, ...) by name, and the room they are computed in.

    ``fused``: whether the MLP is one kernel. Gradients are there from the first backward pass on.
    """

    shape: Shape
    weights: dict[str, Tensor]
    fused: bool
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


_BIASES = ("norm1.bias", "attention.qkv.bias", "attention.proj.bias", "norm2.bias", "mlp.fc.bias", "mlp.proj.bias")
MLP = ("mlp.fc.weight", "mlp.fc.bias", "mlp.proj.weight", "mlp.proj.bias", "norm2.gain", "norm2.bias")


def forward(net: Network, tokens: Tensor, targets: Tensor, *, gradient: bool) -> tuple[Loss, list[Tensor]]:
    """The loss of ``targets`` given ``tokens``, both (K, B, T) int64, and the input (K, B, T, D) of each block.

    The last of the inputs is that of the final norm. ``gradient``: the loss brings that of its rows along, where one
    pass gives it.
    """
    shape, room, weights = net.shape, net.room, net.weights
    inputs = [room.fill("embed", embed.forward, tokens, weights["tokens"], weights.get("positions"))]
    for layer in range(shape.n_layer):
        inputs.append(_block(net, layer, inputs[-1]))
    rows = inputs[-1].flatten(1, 2)
    u = room.fill("norm", norm.forward, rows, weights["norm.gain"], weights.get("norm.bias"), kind=shape.norm)[0]
    gradient = gradient and cross_entropy.gives_gradient(u, net.unembedding)
    loss = room.fill("loss", cross_entropy.forward, u, net.unembedding, targets.flatten(1, 2), gradient=gradient)
    return loss, inputs


def _block(net: Network, layer: int, x: Tensor) -> Tensor:
    shape, room, w = net.shape, net.room, net.layer(layer)
    projected = room.fill(
        f"{layer} qkv", qkv.forward, x, w["norm1.gain"], w["norm1.bias"], w["attention.qkv.weight"],
        w["attention.qkv.bias"], kind=shape.norm, n_head=shape.n_head, n_kv_head=shape.n_kv_head, base=net.base,
    )  # fmt: skip
    window = window_of(shape, layer)
    y, _ = room.fill(f"{layer} attention", attention.forward, *projected[:3], window=window, backend="triton")
    heads, rows = room.fill(f"{layer} heads", join_heads, y), x.flatten(1, 2)
    middle = room.fill(
        f"{layer} proj", linear.forward, heads, w["attention.proj.weight"], w["attention.proj.bias"], rows
    )
    run = _fused_mlp if net.fused else _wide_mlp
    return run(net, layer, middle, w).view_as(x)


def _fused_mlp(net: Network, layer: int, x: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    y: Tensor = net.room.fill(
        f"{layer} mlp", mlp.forward, x, *(w[name] for name in MLP),
        kind=net.shape.activation, norm=net.shape.norm, residual=True,
    )  # fmt: skip
    return y


def _wide_mlp(net: Network, layer: int, x: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    room, kind = net.room, net.shape.activation
    u = room.fill(f"{layer} norm2", norm.forward, x, w["norm2.gain"], w["norm2.bias"], kind=net.shape.norm)[0]
    z = room.fill(f"{layer} fc", linear.forward, u, w["mlp.fc.weight"], w["mlp.fc.bias"])
    a = room.fill(f"{layer} activation", hidden.forward, z, kind=kind)
    y: Tensor = room.fill(f"{layer} mlp", linear.forward, a, w["mlp.proj.weight"], w["mlp.proj.bias"], x)
    return y


def holds_mlp(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the tables of the MLP in one kernel, forward and backward, have a row for rows so wide."""
    chip = chip_of(device)
    return all(
        any(row.serves(chip, 8 * dtype.itemsize, width) for row in table(op, chip, user=folder()))
        for op in ("mlp", "mlp_backward_rows", "mlp_backward_columns")
    )
