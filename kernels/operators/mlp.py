"""``isoflop::mlp``: norm, W_in, activation, W_out and residual in one kernel; wider rows one op after the other."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from isoflop.kernels import mlp as launcher
from isoflop.kernels import mlp_backward, reference, row_norm
from isoflop.kernels.configurations import chip_of, folder, table
from isoflop.kernels.operators.boundary import Operator, absent
from isoflop.kernels.operators.linear import linear
from isoflop.kernels.operators.norm import norm as norm_of
from isoflop.kernels.signatures import check_mlp

TABLES = ("mlp", "mlp_backward_rows", "mlp_backward_columns")


def _mlp(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None,
    bias: Tensor | None, kind: str, norm: str, eps: float, residual: bool,
) -> Tensor:  # fmt: skip
    return launcher.forward(
        x, w_in, b_in, w_out, b_out, gain, bias, kind=kind, norm=norm, eps=eps, residual=residual
    )  # fmt: skip


def _mlp_backward(
    dy: Tensor, x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None,
    bias: Tensor | None, kind: str, norm: str, eps: float, residual: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    made = mlp_backward.backward(
        dy, x, w_in, b_in, w_out, b_out, gain, bias, kind=kind, norm=norm, eps=eps, residual=residual
    )
    db_in, db_out, dgain, dbias = (
        absent(dy) if each is None else each for each in (made.db_in, made.db_out, made.dgain, made.dbias)
    )
    return made.dx, made.dw_in, db_in, made.dw_out, db_out, dgain, dbias


def _flops(
    pass_: int, x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None,
    bias: Tensor | None, kind: str, norm: str, eps: float, residual: bool,
) -> tuple[int, int]:  # fmt: skip
    models, rows, width = x.shape
    products = models * launcher.flops(rows, width, w_out.shape[-1], kind=kind)[pass_]
    added = models * rows * w_in.shape[1] * (b_in is not None) + x.numel() * ((b_out is not None) + residual)
    return products, x.numel() * row_norm.FLOPS[norm][pass_] + added


_MLP = Operator(
    "mlp", _mlp, _mlp_backward, fake=lambda x, *_: torch.empty_like(x), results=("y",),
    gradients={each: each for each in ("x", "w_in", "b_in", "w_out", "b_out", "gain", "bias")},
    costs=(partial(_flops, 0), lambda dy, *args: _flops(1, *args)),
)  # fmt: skip


def mlp(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, gain: Tensor | None = None,
    bias: Tensor | None = None, *, kind: str, norm: str = "none", eps: float = 1e-5, residual: bool = False,
) -> Tensor:  # fmt: skip
    """W_out act(W_in norm(x) + b_in) + b_out, plus x where ``residual``; differentiable; shapes as in ``mlp.forward``.

    Rows wider than the tables of the kernel serve go through ``norm``, ``linear`` and an activation of torch, with the
    hidden in memory: ``last_dispatch()`` has "linear" then. Raises KernelError as :func:`isoflop.kernels.mlp.forward`
    does.
    """
    if _fits(x.shape[-1], x.dtype, x.device):
        w_in, w_out = w_in.contiguous(), w_out.contiguous()  # copied here, they are kept for the backward pass
        return _MLP(x, w_in, b_in, w_out, b_out, gain, bias, kind, norm, eps, residual)[0]
    check_mlp(
        "mlp", {"I": w_in.shape[1], "F": w_out.shape[2]}, kind=kind, norm=norm, gain=gain, bias=bias
    )  # fmt: skip
    u = x if gain is None else norm_of(x, gain, bias, kind=norm, eps=eps)
    hidden = reference.activation(linear(u, w_in, b_in), kind=kind)
    return linear(hidden, w_out, b_out, x if residual else None)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _fits(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    chip = chip_of(device)
    return all(
        any(row.serves(chip, 8 * dtype.itemsize, width) for row in table(name, chip, user=folder())) for name in TABLES
    )
