"""Embedding, norms, products and attention."""

from __future__ import annotations

from isoflop.kernels.signatures.op import Argument, Op

_X, _Y = Argument("x", "K M D"), Argument("y", "K M D")
_GAIN, _BIAS = Argument("gain", "K D"), Argument("bias", "K D", optional=True)
_WEIGHT = Argument("weight", "K O I", turned=True)

LAYERS: dict[str, Op] = {
    "embed": Op(
        (
            Argument("tokens", "K B T", "int64"),
            Argument("token_table", "K V D"),
            Argument("position_table", "K P D", optional=True),
        ),
        (Argument("y", "K B T D"),),
    ),
    "embed_backward": Op(
        (Argument("dy", "K B T D"), Argument("tokens", "K B T", "int64"), Argument("onto", "K V D", optional=True)),
        (Argument("dtoken_table", "K V D"), Argument("dposition_table", "K P D", optional=True)),
        settings=("n_vocab", "n_positions"),
    ),
    "norm": Op((_X, _GAIN, _BIAS), (_Y,), settings=("kind", "eps")),
    "add_norm": Op(
        (_X, Argument("residual", "K M D"), _GAIN, _BIAS), (_Y, Argument("total", "K M D")), settings=("kind", "eps")
    ),
    "norm_backward": Op(
        (
            Argument("dy", "K M D"),
            Argument("total", "K M D"),
            _GAIN,
            Argument("mean", "K M", "float32", optional=True),
            Argument("rstd", "K M", "float32"),
            Argument("dtotal", "K M D", optional=True),
        ),
        (Argument("dx", "K M D"), Argument("dgain", "K D"), Argument("dbias", "K D", optional=True)),
    ),
    "dropout": Op(
        (
            Argument("x", "K *"),
            Argument("seed", "K", "int64"),
            Argument("step", "K", "int64"),
            Argument("residual", "K *", optional=True),
            Argument("start", "K", "int64", optional=True),
        ),
        (Argument("y", "K *"),),
        hyper=("rate",),
        settings=("op",),
    ),
    "scale": Op((Argument("x", "K *"),), (Argument("y", "K *"),), hyper=("factor",)),
    "linear": Op(
        (
            Argument("x", "K M I"),
            _WEIGHT,
            Argument("bias", "K O", optional=True),
            Argument("residual", "K M O", optional=True),
        ),
        (Argument("y", "K M O"),),
    ),
    "linear_backward": Op(
        (Argument("dy", "K M O"), Argument("x", "K M I"), _WEIGHT),
        (Argument("dx", "K M I"), Argument("dweight", "K O I"), Argument("dbias", "K O", optional=True)),
    ),
    "rope": Op((Argument("x", "K B H T C"),), (Argument("y", "K B H T C"),), settings=("base",)),
    "norm_qkv": Op(
        (
            Argument("x", "K B T D"),
            _GAIN,
            Argument("shift", "K D", optional=True),
            Argument("weight", "K O D"),
            Argument("bias", "K O", optional=True),
        ),
        (Argument("q", "K B H T C"), Argument("k", "K B G T C"), Argument("v", "K B G T C")),
        settings=("kind", "n_head", "n_kv_head", "base", "eps"),
    ),
    "norm_qkv_backward": Op(
        (
            Argument("dq", "K B H T C"),
            Argument("dk", "K B G T C"),
            Argument("dv", "K B G T C"),
            Argument("x", "K B T D"),
            _GAIN,
            Argument("shift", "K D", optional=True),
            Argument("weight", "K O D"),
            Argument("mean", "K B T", "float32", optional=True),
            Argument("rstd", "K B T", "float32"),
            Argument("dtotal", "K B T D", optional=True),
        ),
        (
            Argument("dx", "K B T D"),
            Argument("dgain", "K D"),
            Argument("dshift", "K D", optional=True),
            Argument("dweight", "K O D"),
            Argument("dbias", "K O", optional=True),
        ),
        settings=("base",),
    ),
    "attention": Op(
        (Argument("q", "K B H T C"), Argument("k", "K B G T C"), Argument("v", "K B G T C")),
        (Argument("y", "K B H T C"),),
        settings=("causal", "window", "scale"),
    ),
    "attention_backward": Op(
        (
            Argument("dy", "K B H T C"),
            Argument("q", "K B H T C"),
            Argument("k", "K B G T C"),
            Argument("v", "K B G T C"),
            Argument("y", "K B H T C"),
            Argument("lse", "K B H T", "float32", optional=True),
        ),
        (Argument("dq", "K B H T C"), Argument("dk", "K B G T C"), Argument("dv", "K B G T C")),
        settings=("causal", "window", "scale"),
    ),
}
