"""The forward pass of K decoders of one shape over the launchers of a backend, each result held for the backward pass.

embed; in each block norm + projection + rotary positions, attention, projection + residual, and the MLP, in one op
where the backend has one for rows so wide, else norm, linear, activation, linear + residual; then norm and
cross-entropy.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from isoflop.kernels.gpt_parameters import window_of
from isoflop.train.engine.network import MLP, Network


def forward(net: Network, tokens: Tensor, targets: Tensor, *, gradient: bool) -> tuple[Any, list[Tensor]]:
    """The loss of ``targets`` given ``tokens``, both (K, B, T) int64, and the input (K, B, T, D) of each block.

    The last of the inputs is that of the final norm. ``gradient``: the loss brings its own along, where
    one pass gives both.
    """
    shape, ops, room, weights = net.shape, net.ops, net.room, net.weights
    inputs = [room.fill("embed", ops.embed.forward, tokens, weights["tokens"], weights.get("positions"))]
    for layer in range(shape.n_layer):
        inputs.append(_block(net, layer, inputs[-1]))
    rows = inputs[-1].flatten(1, 2)
    u = room.fill("norm", ops.norm.forward, rows, weights["norm.gain"], weights.get("norm.bias"), kind=shape.norm)[0]
    loss = room.fill(
        "loss", ops.cross_entropy.forward, u, net.unembedding, targets.flatten(1, 2), gradient=gradient
    )  # fmt: skip
    return loss, inputs


def _block(net: Network, layer: int, x: Tensor) -> Tensor:
    shape, ops, room, w = net.shape, net.ops, net.room, net.layer(layer)
    projected = room.fill(
        f"{layer} qkv", ops.qkv.forward, x, w["norm1.gain"], w["norm1.bias"], w["attention.qkv.weight"],
        w["attention.qkv.bias"], kind=shape.norm, n_head=shape.n_head, n_kv_head=shape.n_kv_head, base=net.base,
        shared="qkv",
    )  # fmt: skip
    y = room.fill(f"{layer} attention", ops.attention.forward, *projected[:3], window=window_of(shape, layer))[0]
    heads, rows = room.fill(f"{layer} heads", ops.heads.join_heads, y), x.flatten(1, 2)
    middle = room.fill(
        f"{layer} proj", ops.linear.forward, heads, w["attention.proj.weight"], w["attention.proj.bias"], rows
    )
    run = _fused_mlp if net.fused else _wide_mlp
    return run(net, layer, middle, w).view_as(x)


def _fused_mlp(net: Network, layer: int, x: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    made = net.room.fill(
        f"{layer} mlp", net.ops.mlp.forward, x, *(w[name] for name in MLP),
        kind=net.shape.activation, norm=net.shape.norm, residual=True,
    )  # fmt: skip
    y: Tensor = made if isinstance(made, Tensor) else made[0]
    return y


def _wide_mlp(net: Network, layer: int, x: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    ops, room, kind = net.ops, net.room, net.shape.activation
    u = room.fill(f"{layer} norm2", ops.norm.forward, x, w["norm2.gain"], w["norm2.bias"], kind=net.shape.norm)[0]
    z = room.fill(f"{layer} fc", ops.linear.forward, u, w["mlp.fc.weight"], w["mlp.fc.bias"])
    a = room.fill(f"{layer} activation", ops.hidden.forward, z, kind=kind)
    y: Tensor = room.fill(f"{layer} mlp", ops.linear.forward, a, w["mlp.proj.weight"], w["mlp.proj.bias"], x)
    return y
