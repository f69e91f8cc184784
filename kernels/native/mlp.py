"""The whole MLP, forward and backward; see ``csrc/ops/mlp.cpp``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import by_tiles, call, packed_bytes, refuse_device
from isoflop.kernels.signatures import ACTIVATIONS, GATED, check, check_mlp

_NORMS = ("none", "layer", "rms")  # as csrc/ops/row_norm.hpp numbers them


class Gradients(NamedTuple):
    """Of what the MLP takes, None where it takes none."""

    dx: Tensor
    dw_in: Tensor
    db_in: Tensor | None
    dw_out: Tensor
    db_out: Tensor | None
    dgain: Tensor | None
    dbias: Tensor | None


class Saving(NamedTuple):
    """The result, and what the backward pass need not make anew, where there is such."""

    y: Tensor
    saved: Tensor | None


def forward(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None = None,
    bias: Tensor | None = None, *, kind: str, norm: str = "none", eps: float = 1e-5, residual: bool = False,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The MLP of ``x`` (K, M, D): w_in (K, F, D), (K, 2F, D) where gated, w_out (K, D, F), gain and bias (K, D).

    ``kind`` is one of ``signatures.ACTIVATIONS``, ``norm`` one of ``signatures.ROW_NORMS``. The result is written to
    ``out`` where given. Raises KernelError for tensors that ``signatures.check`` refuses or that are not float32 on the
    host, and for settings that are unknown or at odds with the tensors.
    """
    buffer = None if out is None else Saving(out, None)
    return _forward(x, w_in, b_in, w_out, b_out, gain, bias, kind, norm, eps, residual, buffer, saves=False).y


def forward_saving(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None = None,
    bias: Tensor | None = None, *, kind: str, norm: str = "none", eps: float = 1e-5, residual: bool = False,
    out: Saving | None = None,
) -> Saving:  # fmt: skip
    """As :func:`forward`, and what :func:`backward` then takes as ``saved``, where tiles multiply and nothing is gated.

    That is of 16 bits, (K, 2, M up to a multiple of 32, F up to one of 16): activations and their slopes.
    """
    saves = by_tiles() and kind not in GATED
    return _forward(x, w_in, b_in, w_out, b_out, gain, bias, kind, norm, eps, residual, out, saves=saves)


def _forward(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None,
    bias: Tensor | None, kind: str, norm: str, eps: float, residual: bool, out: Saving | None, *, saves: bool,
) -> Saving:  # fmt: skip
    sizes = check("mlp", x=x, w_in=w_in, b_in=b_in, w_out=w_out, b_out=b_out, gain=gain, bias=bias)
    check_mlp("mlp", sizes, kind=kind, norm=norm, gain=gain, bias=bias)
    refuse_device("mlp", x)
    rows, width, deep = (sizes[axis] for axis in "MDF")
    kept = (len(x), 2, -(-rows // 32) * 32, -(-deep // 16) * 16)
    made = Saving(*buffers(
        "mlp", x.device, out, y=(tuple(x.shape), x.dtype), saved=(kept, torch.float16) if saves else None
    ))  # fmt: skip
    call(
        "mlp", [x, gain, bias, w_in, b_in, w_out, b_out, *made], [rows, width, deep],
        _settings(kind, norm, eps, residual),
        kept=_halves(kind) * packed_bytes(width, deep) + packed_bytes(deep, width),
    )  # fmt: skip
    return made


def backward(
    dy: Tensor, x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None,
    gain: Tensor | None = None, bias: Tensor | None = None, *, kind: str, norm: str = "none", eps: float = 1e-5,
    residual: bool = False, saved: Tensor | None = None, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy`` (K, M, D), what :func:`forward` took, with its settings, and what it may have saved.

    They fill ``out``, the gradients of an earlier call, where given. Raises KernelError as the forward does.
    """
    tensors = {"x": x, "w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out, "gain": gain, "bias": bias}
    sizes = check("mlp_backward", dy=dy, **tensors)
    check_mlp("mlp_backward", sizes, kind=kind, norm=norm, gain=gain, bias=bias)
    refuse_device("mlp", dy)
    made = Gradients(*buffers(
        "mlp_backward", x.device, out,
        **{f"d{name}": None if each is None else (tuple(each.shape), each.dtype) for name, each in tensors.items()},
    ))  # fmt: skip
    rows, width, deep = (sizes[axis] for axis in "MDF")
    halves = _halves(kind)
    call(
        "mlp_backward", [dy, x, gain, bias, w_in, b_in, w_out, b_out, *made, saved], [rows, width, deep],
        _settings(kind, norm, eps, residual),
        kept=(1 if saved is not None else halves + 1) * packed_bytes(width, deep) + packed_bytes(halves * deep, width),
    )  # fmt: skip
    return made


def _halves(kind: str) -> int:
    return 2 if kind in GATED else 1


def _settings(kind: str, norm: str, eps: float, residual: bool) -> list[float]:
    return [ACTIVATIONS.index(kind), _NORMS.index(norm), eps, residual]
