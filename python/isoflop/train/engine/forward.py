"""The forward pass of K decoders of one shape over the launchers of a backend, each result held for the backward pass.

embed; in each block norm + projection + rotary positions, attention, projection + residual, and the MLP, in one op
where the backend has one for rows so wide, else norm, linear, activation, linear + residual, or norm and a mixture of
experts + residual; then norm and cross-entropy. Where models drop by chance, the MLP is in several ops, and what a
block adds is dropped before it is.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from isoflop.kernels.parameter_sizes import window_of
from isoflop.train.engine.network import EXPERTS, MLP, Network, place_of_drop


def forward(net: Network, tokens: Tensor, targets: Tensor, *, gradient: bool) -> tuple[Any, list[Tensor]]:
    """The loss of ``targets`` given ``tokens``, both (K, B, T) int64, and the input (K, B, T, D) of each block.

    The last of the inputs is that of the final norm. ``gradient``: the loss brings its own along, where
    one pass gives both.
    """
    shape, ops, room, weights = net.shape, net.ops, net.room, net.weights
    embedded = room.fill("embed", ops.embed.forward, tokens, weights["tokens"], weights.get("positions"))
    inputs = [net.dropped("embed dropped", embedded, 0)]
    for layer in range(shape.n_layer):
        inputs.append(_block(net, layer, inputs[-1]))
    rows = inputs[-1].flatten(1, 2)
    u = room.fill("norm", ops.norm.forward, rows, weights["norm.gain"], weights.get("norm.bias"), kind=shape.norm)[0]
    scaled = net.scaled("norm scaled", u, net.logit_scale)
    loss = room.fill(
        "loss", ops.cross_entropy.forward, scaled, net.unembedding, targets.flatten(1, 2), gradient=gradient
    )  # fmt: skip
    return loss, inputs


def _block(net: Network, layer: int, x: Tensor) -> Tensor:
    shape, ops, room, w = net.shape, net.ops, net.room, net.layer(layer)
    projected = room.fill(
        f"{layer} qkv", ops.qkv.forward, x, w["norm1.gain"], w["norm1.bias"], w["attention.qkv.weight"],
        w["attention.qkv.bias"], kind=shape.norm, n_head=shape.n_head, n_kv_head=shape.n_kv_head, base=net.base,
        shared="qkv",
    )  # fmt: skip
    y = room.fill(
        f"{layer} attention", ops.attention.forward, *projected[:3],
        window=window_of(shape, layer), **net.of_attention(layer),
    )[0]  # fmt: skip
    heads = room.fill(f"{layer} heads", ops.heads.join_heads, y)
    middle = _added(net, layer, "proj", heads, w["attention.proj.weight"], w["attention.proj.bias"], x.flatten(1, 2))
    run = _mixture if net.is_mixture(layer) else _fused_mlp if net.whole_mlp else _wide_mlp
    return run(net, layer, middle, w).view_as(x)


def _added(
    net: Network, layer: int, place: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, stream: Tensor
) -> Tensor:
    """The residual stream and what a projection adds to it, ``x W^T + b`` without what is dropped of it."""
    run = net.ops.linear.forward
    if net.dropout is None:
        y: Tensor = net.room.fill(f"{layer} {place}", run, x, weight, bias, stream)
        return y
    made = net.room.fill(f"{layer} {place} whole", run, x, weight, bias)
    return net.dropped(f"{layer} {place}", made, place_of_drop(layer, place), stream)


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
    return _added(net, layer, "mlp", a, w["mlp.proj.weight"], w["mlp.proj.bias"], x)


def _mixture(net: Network, layer: int, x: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    shape, ops, room = net.shape, net.ops, net.room
    u = room.fill(f"{layer} norm2", ops.norm.forward, x, w["norm2.gain"], w["norm2.bias"], kind=shape.norm)[0]
    made = room.fill(
        f"{layer} experts", ops.moe.forward, u, *(w[name] for name in EXPERTS), net.logit_scale,
        x if net.dropout is None else None,
        kind=shape.activation, top_k=shape.top_k, capacity_factor=shape.capacity_factor,
    )  # fmt: skip
    return net.dropped(f"{layer} mlp", made[0], place_of_drop(layer, "mlp"), x)
