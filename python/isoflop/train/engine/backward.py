"""The backward pass of ``forward``: the gradient of the mean loss of each model by all of its parameters.

Gradients of activations may share one set of tensors among all blocks; those of parameters are each block's own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from isoflop.kernels.parameter_sizes import window_of
from isoflop.train.engine.network import EXPERTS, MLP, Network, place_of_drop

_OF_MLP = ("dw_in", "db_in", "dw_out", "db_out", "dgain", "dbias")
_OF_EXPERTS = (
    *("drouter", "dw_in", "dw_out", "db_in", "db_out"),
    *("dshared_in", "dshared_out", "dshared_b_in", "dshared_b_out"),
)


def backward(net: Network, tokens: Tensor, targets: Tensor, loss: Any, inputs: list[Tensor]) -> None:
    """Fill ``net.grads`` from what :func:`forward.forward` took and gave."""
    shape, ops, room = net.shape, net.ops, net.room
    u, _, mean, rstd = room["norm"]
    scaled = u if net.logit_scale is None else room["norm scaled"]
    of_loss = room.fill(
        "loss backward", ops.cross_entropy.backward, scaled, net.unembedding, targets.flatten(1, 2), loss
    )  # fmt: skip
    du = net.scaled("norm scaled backward", of_loss.dx if loss.dx is None else loss.dx, net.logit_scale)
    of_norm = room.fill(
        "norm backward", ops.norm.backward, du, inputs[-1].flatten(1, 2), net.weights["norm.gain"], mean, rstd,
        has_bias="norm.bias" in net.weights,
    )  # fmt: skip
    _note(net, "norm", gain=of_norm.dgain, bias=of_norm.dbias)
    dx = of_norm.dx
    for layer in reversed(range(shape.n_layer)):
        dx = _block(net, layer, dx, inputs[layer])
    dx = net.dropped("embed dropped backward", dx, 0)
    tied, learned = shape.tied_embeddings, shape.position == "learned"
    of_tables = room.fill(
        "embed backward", ops.embed.backward, dx.view_as(inputs[0]), tokens, n_vocab=shape.n_vocab,
        n_positions=shape.n_ctx if learned else None, onto=of_loss.dweight if tied else None,
    )  # fmt: skip
    _note(net, "", tokens=of_tables.dtoken_table, positions=of_tables.dposition_table)
    if not tied:
        _note(net, "", unembed=of_loss.dweight)


def _block(net: Network, layer: int, dy: Tensor, x: Tensor) -> Tensor:
    """The gradient (K, M, D) of the input ``x`` of a block, from that of its output."""
    shape, ops, room, w, block = net.shape, net.ops, net.room, net.layer(layer), f"blocks.{layer}"
    run = _mixture if net.is_mixture(layer) else _fused_mlp if net.whole_mlp else _wide_mlp
    dmiddle = run(net, layer, dy, w)
    dproj = net.dropped("proj dropped backward", dmiddle, place_of_drop(layer, "proj"))
    of_proj = room.fill(
        f"{layer} proj backward", ops.linear.backward, dproj, room[f"{layer} heads"], w["attention.proj.weight"],
        has_bias=shape.bias, shared="proj backward",
    )  # fmt: skip
    _note(net, f"{block}.attention.proj", weight=of_proj.dweight, bias=of_proj.dbias)
    apart = room.fill("heads backward", ops.heads.split_heads, of_proj.dx, batch=x.shape[1], heads=shape.n_head)
    q, k, v, mean, rstd = room[f"{layer} qkv"][:5]
    dq, dk, dv = room.fill(
        "attention backward", ops.attention.backward, apart, q, k, v, *room[f"{layer} attention"],
        window=window_of(shape, layer), **net.of_attention(layer),
    )[:3]  # fmt: skip
    of_qkv = room.fill(
        f"{layer} qkv backward", ops.qkv.backward, dq, dk, dv, x, w["norm1.gain"], w["norm1.bias"],
        w["attention.qkv.weight"], mean, rstd, dmiddle.view_as(x),
        has_bias=shape.bias, base=net.base, shared="qkv backward",
    )  # fmt: skip
    _note(net, f"{block}.attention.qkv", weight=of_qkv.dweight, bias=of_qkv.dbias)
    _note(net, f"{block}.norm1", gain=of_qkv.dgain, bias=of_qkv.dshift)
    dx: Tensor = of_qkv.dx
    return dx.flatten(1, 2)


def _fused_mlp(net: Network, layer: int, dy: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    room = net.room
    made = room.fill(
        f"{layer} mlp backward", net.ops.mlp.backward, dy, room[f"{layer} proj"], *(w[name] for name in MLP),
        saved=room[f"{layer} mlp"], kind=net.shape.activation, norm=net.shape.norm, residual=True,
        shared="mlp backward",
    )  # fmt: skip
    _note(net, f"blocks.{layer}", **{name: getattr(made, field) for name, field in zip(MLP, _OF_MLP, strict=True)})
    dx: Tensor = made.dx
    return dx


def _wide_mlp(net: Network, layer: int, dy: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    shape, ops, room, block = net.shape, net.ops, net.room, f"blocks.{layer}"
    u = room[f"{layer} norm2"][0]
    dout = net.dropped("mlp dropped backward", dy, place_of_drop(layer, "mlp"))
    out = room.fill(
        f"{layer} mlp backward", ops.linear.backward, dout, room[f"{layer} activation"], w["mlp.proj.weight"],
        has_bias=shape.bias, shared="mlp proj backward",
    )  # fmt: skip
    _note(net, f"{block}.mlp.proj", weight=out.dweight, bias=out.dbias)
    dz = room.fill("activation backward", ops.hidden.backward, out.dx, room[f"{layer} fc"], kind=shape.activation)
    into = room.fill(
        f"{layer} fc backward", ops.linear.backward, dz, u, w["mlp.fc.weight"],
        has_bias=shape.bias, shared="fc backward",
    )  # fmt: skip
    _note(net, f"{block}.mlp.fc", weight=into.dweight, bias=into.dbias)
    return _second_norm(net, layer, into.dx, dy, w)


def _mixture(net: Network, layer: int, dy: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    room, u = net.room, net.room[f"{layer} norm2"][0]
    made = room.fill(
        f"{layer} experts backward", net.ops.moe.backward,
        net.dropped("mlp dropped backward", dy, place_of_drop(layer, "mlp")),
        u, *(w[name] for name in EXPERTS), net.logit_scale, net.balance,
        mixture=room[f"{layer} experts"], kind=net.shape.activation, shared="experts backward",
    )  # fmt: skip
    grads = {name: getattr(made, field) for name, field in zip(EXPERTS, _OF_EXPERTS, strict=True)}
    _note(net, f"blocks.{layer}", **grads)
    return _second_norm(net, layer, made.dx, dy, w)


def _second_norm(net: Network, layer: int, du: Tensor, dy: Tensor, w: dict[str, Tensor | None]) -> Tensor:
    """The gradient of what the second half of a block begins from, from those of its norm and of its own result."""
    room = net.room
    _, _, mean, rstd = room[f"{layer} norm2"]
    made = room.fill(
        f"{layer} norm2 backward", net.ops.norm.backward, du, room[f"{layer} proj"], w["norm2.gain"], mean, rstd, dy,
        has_bias=w["norm2.bias"] is not None, shared="norm2 backward",
    )  # fmt: skip
    _note(net, f"blocks.{layer}.norm2", gain=made.dgain, bias=made.dbias)
    dx: Tensor = made.dx
    return dx


def _note(net: Network, owner: str, **grads: Tensor | None) -> None:
    for name, grad in grads.items():
        if grad is not None:
            net.grads[f"{owner}.{name}".lstrip(".")] = grad
