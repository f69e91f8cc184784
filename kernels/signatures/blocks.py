"""An MLP, a block, and a mixture of experts."""

from __future__ import annotations

from isoflop.kernels.signatures.op import Argument, Op

_X, _Y = Argument("x", "K M D"), Argument("y", "K M D")
_ROUTED = (Argument("router", "K E D"), Argument("scale", "K", "float64", optional=True))
_EXPERTS = (
    Argument("w_in", "K E I D"),
    Argument("w_out", "K E D F"),
    Argument("b_in", "K E I", optional=True),
    Argument("b_out", "K E D", optional=True),
    Argument("shared_in", "K N I D", optional=True),
    Argument("shared_out", "K N D F", optional=True),
    Argument("shared_b_in", "K N I", optional=True),
    Argument("shared_b_out", "K N D", optional=True),
)
_MIXTURE = (_X, _ROUTED[0], *_EXPERTS, _ROUTED[1])
_MLP = (
    Argument("w_in", "K I D"),
    Argument("b_in", "K I", optional=True),
    Argument("w_out", "K D F"),
    Argument("b_out", "K D", optional=True),
    Argument("gain", "K D", optional=True),
    Argument("bias", "K D", optional=True),
)
_BLOCK = (
    Argument("x", "K B T D"),
    Argument("gain1", "K D"),
    Argument("bias1", "K D", optional=True),
    Argument("w_qkv", "K R D"),
    Argument("b_qkv", "K R", optional=True),
    Argument("w_proj", "K D S"),
    Argument("b_proj", "K D", optional=True),
    Argument("gain2", "K D"),
    Argument("bias2", "K D", optional=True),
    *_MLP[:4],
)

BLOCKS: dict[str, Op] = {
    "activation": Op((Argument("x", "K M I"),), (Argument("y", "K M F"),), settings=("kind",)),
    "activation_backward": Op((Argument("dy", "K M F"), Argument("x", "K M I")), (Argument("dx", "K M I"),)),
    "mlp": Op((_X, *_MLP), (_Y,), settings=("kind", "norm", "eps", "residual")),
    "mlp_backward": Op(
        (Argument("dy", "K M D"), _X, *_MLP),
        (Argument("dx", "K M D"), *(Argument(f"d{each.name}", each.axes, optional=each.optional) for each in _MLP)),
    ),
    "block": Op(
        _BLOCK,
        (Argument("y", "K B T D"), Argument("middle", "K B T D")),
        settings=("n_head", "n_kv_head", "kind", "norm", "rope_base", "eps"),
    ),
    "block_backward": Op(
        (Argument("dy", "K B T D"), Argument("middle", "K B T D"), *_BLOCK),
        tuple(Argument(f"d{each.name}", each.axes, optional=each.optional) for each in _BLOCK),
    ),
    "moe_route": Op(
        (_X, *_ROUTED),
        (
            Argument("gates", "K M E", "float32"),
            Argument("balance", "K", "float32"),
            Argument("dropped", "K", "int64"),
        ),
        settings=("top_k", "renormalise", "capacity_factor"),
    ),
    "moe": Op(
        (*_MIXTURE, Argument("residual", "K M D", optional=True)),
        (_Y, Argument("balance", "K", "float32"), Argument("dropped", "K", "int64")),
        settings=("kind", "top_k", "renormalise", "capacity_factor"),
    ),
    "moe_backward": Op(
        (
            Argument("dy", "K M D"),
            *_MIXTURE,
            Argument("gates", "K M J", "float32"),
            Argument("dbalance", "K", "float32", optional=True),
        ),
        (
            Argument("dx", "K M D"),
            Argument("drouter", "K E D"),
            *(Argument(f"d{each.name}", each.axes, optional=each.optional) for each in _EXPERTS),
            Argument("dgates", "K M J", "float32"),
        ),
        settings=("kind", "renormalise"),
    ),
}
