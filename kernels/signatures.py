"""The op set as one table: every implementation of an op takes these tensors, with these axes, in this order.

Axes: K models, M rows (batch times sequence), D d_model, F d_ff, V vocabulary, B batch, T sequence, P positions, H
heads, G key/value heads, C d_head, R (H + 2G) C, S H C, E experts, J choices of a row; ``I`` and ``O`` are any widths,
``*`` any further axes. A reference op (``isoflop.kernels.reference``) takes the same tensors without the leading K;
``reference.on_models`` adds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.errors import KernelError, nearest

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What a kernel reads and writes; sums and statistics are float32 in all of them."""


@dataclass(frozen=True)
class Argument:
    """One tensor of an op, or a sequence of them (``many``).

    ``dtype`` is the name of a dtype, or of a group ("data", "gradient") whose tensors share one of ``DTYPES``.
    """

    name: str
    axes: str
    dtype: str = "data"
    optional: bool = False
    many: bool = False


@dataclass(frozen=True)
class Op:
    """The tensors of an op, its per-model hyper-parameters ((K,) float64 arrays on the device), its settings."""

    tensors: tuple[Argument, ...]
    results: tuple[Argument, ...]
    hyper: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """All that has a model axis: tensors, then hyper-parameters."""
        return self.tensors + tuple(Argument(name, "K", "float64") for name in self.hyper)


_X, _Y = Argument("x", "K M D"), Argument("y", "K M D")
_GAIN, _BIAS = Argument("gain", "K D"), Argument("bias", "K D", optional=True)
_MOMENTS = (Argument("first", "K *", "float32", many=True), Argument("second", "K *", "float32", many=True))
_LABELLED = (_X, Argument("weight", "K V D"), Argument("targets", "K M", "int64"))
_ROUTER = Argument("router", "K E D")
_EXPERTS = (Argument("w_in", "K E I D"), Argument("w_out", "K E D F"))
_WEIGHTS = Argument("weights", "K M", "float32", optional=True)
_MLP = (
    Argument("w_in", "K I D"),
    Argument("b_in", "K I", optional=True),
    Argument("w_out", "K D F"),
    Argument("b_out", "K D", optional=True),
    Argument("gain", "K D", optional=True),
    _BIAS,
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

OPS: dict[str, Op] = {
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
    "linear": Op(
        (
            Argument("x", "K M I"),
            Argument("weight", "K O I"),
            Argument("bias", "K O", optional=True),
            Argument("residual", "K M O", optional=True),
        ),
        (Argument("y", "K M O"),),
    ),
    "linear_backward": Op(
        (Argument("dy", "K M O"), Argument("x", "K M I"), Argument("weight", "K O I")),
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
        (_X, _ROUTER),
        (
            Argument("gates", "K M E", "float32"),
            Argument("balance", "K", "float32"),
            Argument("dropped", "K", "int64"),
        ),
        settings=("top_k", "renormalise", "capacity_factor"),
    ),
    "moe": Op(
        (_X, _ROUTER, *_EXPERTS),
        (_Y, Argument("balance", "K", "float32"), Argument("dropped", "K", "int64")),
        settings=("kind", "top_k", "renormalise", "capacity_factor"),
    ),
    "moe_backward": Op(
        (
            Argument("dy", "K M D"),
            _X,
            _ROUTER,
            *_EXPERTS,
            Argument("gates", "K M J", "float32"),
            Argument("dbalance", "K", "float32", optional=True),
        ),
        (
            Argument("dx", "K M D"),
            Argument("drouter", "K E D"),
            Argument("dw_in", "K E I D"),
            Argument("dw_out", "K E D F"),
            Argument("dgates", "K M J", "float32"),
        ),
        settings=("kind", "renormalise"),
    ),
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


def check(op: str, **given: Tensor | Sequence[Tensor] | None) -> dict[str, int]:
    """The size of every axis of ``op`` in the tensors ``given`` by name.

    Raises:
        KernelError: an unknown op or argument; a tensor missing, on another device, of another dtype or rank, with gaps
            in memory, without elements, or whose size of an axis is not that of the others.
    """
    if op not in OPS:
        raise KernelError(f"there is no op {op!r}", hint=nearest(op, OPS))
    arguments = OPS[op].arguments
    for name in given.keys() - {argument.name for argument in arguments}:
        raise KernelError(f"{op} takes no {name!r}", hint=nearest(name, [argument.name for argument in arguments]))
    seen = _Seen(op)
    for argument in arguments:
        value = given.get(argument.name)
        if value is None:
            if not argument.optional:
                raise KernelError(f"{op} needs {argument.name} ({argument.axes})")
            continue
        tensors = [value] if isinstance(value, Tensor) else list(value)
        seen.same("number of tensors", argument.name, len(tensors) if argument.many else 1, argument.many)
        for index, tensor in enumerate(tensors):
            seen.add(argument, f"{argument.name}[{index}]" if argument.many else argument.name, index, tensor)
    return {axis: size for axis, (size, _) in seen.facts.items() if isinstance(size, int) and len(axis) == 1}


def check_mask(causal: bool, window: int | None) -> None:
    """Raise KernelError for a window below 1, or one that a mask that is not causal cannot have."""
    if window is None:
        return
    if not causal:
        raise KernelError(f"attention: a window of {window} positions needs a causal mask", hint="causal=True")
    if window < 1:
        raise KernelError(f"attention: a window of {window} positions; a query sees itself at least: 1 or more")


def expert_capacity(rows: int, n_expert: int, top_k: int, capacity_factor: float | None) -> int | None:
    """Rows that an expert takes: ceil(capacity_factor rows top_k / n_expert), None for any number.

    Raises KernelError unless 1 <= top_k <= n_expert and capacity_factor > 0.
    """
    if not 1 <= top_k <= n_expert:
        raise KernelError(f"moe: top_k is {top_k}; it must be from 1 to the {n_expert} experts")
    if capacity_factor is None:
        return None
    if not 0 < capacity_factor < math.inf:
        raise KernelError(f"moe: capacity_factor is {capacity_factor}; it must be above 0", hint="None drops no row")
    return math.ceil(capacity_factor * rows * top_k / n_expert)


class _Seen:
    """What the tensors of a call have in common, and which of them said it first."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.facts: dict[str, tuple[object, str]] = {}

    def same(self, what: str, name: str, value: object, applies: bool = True) -> None:
        if not applies:
            return
        expected, first = self.facts.setdefault(what, (value, name))
        if value != expected:
            axis = f"axis {what}" if len(what) == 1 else what
            raise KernelError(f"{self.op}: {axis} is {value} in {name} and {expected} in {first}")

    def add(self, argument: Argument, name: str, index: int, tensor: Tensor) -> None:
        axes, shape = argument.axes.split(), tuple(tensor.shape)
        if len(shape) != len(axes) and not ("*" in axes and len(shape) >= len(axes) - 1):
            raise KernelError(f"{self.op}: {name} has shape {shape}; its axes are ({', '.join(axes)})")
        for axis, size in zip(axes, shape, strict=False):
            self.same(axis, name, size, axis != "*")
        self.same(f"shape of tensor {index}", name, shape, "*" in axes)
        if not tensor.numel():
            raise KernelError(f"{self.op}: {name} has shape {shape}, which holds no elements")
        self.same("device", name, tensor.device)
        self._check_dtype(argument, name, tensor.dtype)
        if not tensor.is_contiguous():
            raise KernelError(f"{self.op}: {name} has gaps or is transposed in memory", hint=f"{name}.contiguous()")

    def _check_dtype(self, argument: Argument, name: str, dtype: torch.dtype) -> None:
        exact = getattr(torch, argument.dtype, None)
        grouped = not isinstance(exact, torch.dtype)
        allowed = DTYPES if grouped else (exact,)
        if dtype not in allowed:
            names = ", ".join(str(each).removeprefix("torch.") for each in allowed)
            raise KernelError(f"{self.op}: {name} is {str(dtype).removeprefix('torch.')}; allowed: {names}")
        if grouped:
            self.same(f"dtype of the {argument.dtype}", name, dtype)
