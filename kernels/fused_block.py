"""A Transformer block over the operators, as a module for trainers of any kind: one model, or K of them in one launch.

q, k, v = rope(norm(x) W_qkv^T + b_qkv);   x += attention(q, k, v) W_proj^T + b_proj;   x += mlp(norm(x))
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isoflop.errors import KernelError
from isoflop.kernels.implementation import check_choice, ops
from isoflop.shape import Shape
from isoflop.shape.fields import OPTIONAL


class FusedBlock(nn.Module):
    """One pre-norm block of ``shape``: causal, (batch, seq, d_model) -> the same, with n_model in front where given.

    Args:
        shape: a plain decoder. Only its fields of a block count: widths, heads, norm, activation, position, window,
            bias.
        n_model: K models of this shape, each with parameters of its own, in one launch; every parameter and the input
            then have a leading axis of K.
        implementation: "triton", which away from a GPU is refused; "reference", plain torch; "auto", by the device of
            the input. ``isoflop.kernels.last_dispatch()`` tells what ran.
        rope_base: of the rotary positions, where the shape has them.
        eps: of both norms.

    Parameters, (d_out, d_in) each: ``norm1_gain``, ``norm1_bias``, ``qkv_weight`` (rows of queries, keys, values, by
    head), ``qkv_bias``, ``proj_weight``, ``proj_bias``, ``norm2_gain``, ``norm2_bias``, ``in_weight`` (gate rows first
    where gated), ``in_bias``, ``out_weight``, ``out_bias``; None where the shape has none. Matrices start normal with
    deviation 1/sqrt(d_in), those that write to the residual stream divided by sqrt(2 n_layer) (GPT-2, section 2.3).

    Raises KernelError for a shape that is no plain decoder, n_model below 1, an input of another form and, from the
    ops, for what they refuse; MissingExtra where Triton is chosen and not installed.
    """

    def __init__(
        self, shape: Shape, *, n_model: int | None = None, implementation: str = "auto", rope_base: float = 10_000.0,
        eps: float = 1e-5, device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check_choice(implementation)
        _refuse(shape, n_model)
        self.shape, self.n_model, self.implementation = shape, n_model, implementation
        self.base, self.eps = (rope_base if shape.position == "rope" else None), eps
        heads = shape.n_head * shape.d_head
        packed = (shape.n_head + 2 * shape.n_kv_head) * shape.d_head
        hidden = 2 * shape.d_ff if shape.activation == "swiglu" else shape.d_ff
        models = () if n_model is None else (n_model,)
        sizes = {
            "norm1_gain": (shape.d_model,), "norm1_bias": (shape.d_model,),
            "qkv_weight": (packed, shape.d_model), "qkv_bias": (packed,),
            "proj_weight": (shape.d_model, heads), "proj_bias": (shape.d_model,),
            "norm2_gain": (shape.d_model,), "norm2_bias": (shape.d_model,),
            "in_weight": (hidden, shape.d_model), "in_bias": (hidden,),
            "out_weight": (shape.d_model, shape.d_ff), "out_bias": (shape.d_model,),
        }  # fmt: skip
        for name, size in sizes.items():
            wanted = not name.endswith("bias") or (
                shape.bias and (shape.norm == "layer" or not name.startswith("norm"))
            )
            made = nn.Parameter(torch.empty(*models, *size, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, made)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                residual = 2 * self.shape.n_layer if name in ("proj_weight", "out_weight") else 1
                parameter.normal_(0.0, 1 / math.sqrt(residual * parameter.shape[-1]))
            else:
                parameter.fill_(1.0 if name.endswith("gain") else 0.0)

    def extra_repr(self) -> str:
        models = "" if self.n_model is None else f"n_model={self.n_model}, "
        return f"d_model={self.shape.d_model}, {models}implementation={self.implementation!r}"

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, of the form of ``x``."""
        axes = ("batch", "seq", "d_model") if self.n_model is None else ("n_model", "batch", "seq", "d_model")
        ends = (x.shape[0], x.shape[-1]) if self.n_model is not None and x.ndim else (None, *x.shape[-1:])
        if x.ndim != len(axes) or ends != (self.n_model, self.shape.d_model):
            sizes = f"d_model is {self.shape.d_model}" + (f", n_model {self.n_model}" if self.n_model else "")
            raise KernelError(f"FusedBlock: x has shape {tuple(x.shape)}; its axes are ({', '.join(axes)}), {sizes}")
        p: dict[str, Tensor | None] = dict(self._parameters)
        if self.n_model is None:
            x, p = x[None], {name: None if each is None else each[None] for name, each in p.items()}
        op, shape = ops(self.implementation, x.device), self.shape
        q, k, v = op("norm_qkv")(
            x, p["norm1_gain"], p["norm1_bias"], p["qkv_weight"], p["qkv_bias"],
            kind=shape.norm, n_head=shape.n_head, n_kv_head=shape.n_kv_head, base=self.base, eps=self.eps,
        )  # fmt: skip
        values = op("attention")(q, k, v, causal=True, window=shape.window).transpose(2, 3).flatten(-2)
        rows = x.flatten(1, 2)
        rows = op("linear")(values.flatten(1, 2), p["proj_weight"], p["proj_bias"], rows)
        rows = op("mlp")(
            rows, p["in_weight"], p["in_bias"], p["out_weight"], p["out_bias"], p["norm2_gain"], p["norm2_bias"],
            kind=shape.activation, norm=shape.norm, eps=self.eps, residual=True,
        )  # fmt: skip
        y: Tensor = rows.view_as(x)
        return y[0] if self.n_model is None else y


def _refuse(shape: Shape, n_model: int | None) -> None:
    if n_model is not None and n_model < 1:
        raise KernelError(f"FusedBlock: n_model is {n_model}; 1 or more, or None for one model without the axis")
    for name, plain in OPTIONAL.items():
        given = getattr(shape, name)
        if given != plain and name != "window":
            raise KernelError(f"FusedBlock: {name} is {given!r}; it runs plain decoder blocks, {name}={plain!r}")
