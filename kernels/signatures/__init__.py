"""The op set as one table: every implementation of an op takes these tensors, with these axes, in this order.

Axes: K models, M rows (batch times sequence), D d_model, F d_ff, V vocabulary, B batch, T sequence, P positions, H
heads, G key/value heads, C d_head, R (H + 2G) C, S H C, E experts, J choices of a row, N experts that every row
passes; ``I`` and ``O`` are any widths, ``*`` any further axes. A reference op (``isoflop.kernels.reference``) takes the
same tensors without the leading K; ``reference.on_models`` adds it.
"""

from __future__ import annotations

from isoflop.kernels.signatures.checking import OPS, check
from isoflop.kernels.signatures.op import DTYPES, Argument, Op
from isoflop.kernels.signatures.settings import (
    ACTIVATIONS,
    GATED,
    IGNORED,
    NORMS,
    ROW_NORMS,
    Chance,
    activation_halves,
    check_heads,
    check_mask,
    check_mlp,
    check_norm_kind,
    expert_capacity,
    head_width,
    refuse_labels,
)

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "GATED",
    "IGNORED",
    "NORMS",
    "OPS",
    "ROW_NORMS",
    "Argument",
    "Chance",
    "Op",
    "activation_halves",
    "check",
    "check_heads",
    "check_mask",
    "check_mlp",
    "check_norm_kind",
    "expert_capacity",
    "head_width",
    "refuse_labels",
]
