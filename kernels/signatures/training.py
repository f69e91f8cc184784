"""Losses, optimizers, and gradients of micro-batches."""

from __future__ import annotations

from isoflop.kernels.signatures.op import Argument, Op

_LABELLED = (Argument("x", "K M D"), Argument("weight", "K V D"), Argument("targets", "K M", "int64"))
_WEIGHTS = Argument("weights", "K M", "float32", optional=True)
_MOMENTS = (Argument("first", "K *", "float32", many=True), Argument("second", "K *", "float32", many=True))

TRAINING: dict[str, Op] = {
    "linear_cross_entropy": Op(
        (*_LABELLED, _WEIGHTS),
        (Argument("loss", "K *", "float32"),),
        settings=("reduction", "z_loss", "ignore_index"),
    ),
    "linear_cross_entropy_backward": Op(
        (
            *_LABELLED,
            Argument("lse", "K M", "float32"),
            Argument("total", "K", "float32"),
            _WEIGHTS,
            Argument("dmean", "K", "float32", optional=True),
            Argument("dlosses", "K M", "float32", optional=True),
        ),
        (Argument("dx", "K M D", optional=True), Argument("dweight", "K V D")),
        settings=("z_loss", "ignore_index"),
    ),
    "argmax_hits": Op(_LABELLED, (Argument("hits", "K M", "bool"),)),
    "adamw": Op(
        (
            Argument("params", "K *", many=True),
            Argument("grads", "K *", "gradient", many=True),
            *_MOMENTS,
            Argument("master", "K *", "float32", optional=True, many=True),
            Argument("step", "K", "int64"),
        ),
        (Argument("norm", "K", "float32"),),
        hyper=("lr", "beta1", "beta2", "eps", "weight_decay", "clip"),
        settings=("decayed",),
    ),
    "orthogonalise": Op((Argument("u", "K O I", "float32"),), (Argument("x", "K O I"),), settings=("steps",)),
    "muon": Op(
        (
            Argument("params", "K *", many=True),
            Argument("grads", "K *", "gradient", many=True),
            _MOMENTS[0],
            Argument("master", "K *", "float32", optional=True, many=True),
        ),
        (Argument("params", "K *", many=True), _MOMENTS[0]),
        hyper=("lr", "momentum", "weight_decay"),
        settings=("nesterov", "scaled", "steps"),
    ),
    "accumulate": Op(
        (Argument("sums", "K *", "gradient", many=True), Argument("grads", "K *", many=True)),
        (Argument("sums", "K *", "gradient", many=True), Argument("square", "K", "float64")),
    ),
}
