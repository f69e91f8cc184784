"""Settings of ops, refused where they mean nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from isoflop.errors import KernelError, nearest

NORMS = ("layer", "rms")
ACTIVATIONS = ("gelu", "gelu_tanh", "relu2", "swiglu")
GATED = ("swiglu",)
IGNORED = -100
"""The label that ``torch.nn.functional.cross_entropy`` ignores."""


class Chance(NamedTuple):
    """By what an op drops elements: ``rate`` (K,) float64, ``seed``, ``step`` and ``start`` (K,) int64, its number.

    The first element has the number ``start``; see :func:`isoflop.kernels.reference.dropout`.
    """

    rate: Tensor
    seed: Tensor
    step: Tensor
    start: Tensor
    op: int


def check_norm_kind(kind: str) -> None:
    """Raise KernelError where there is no such norm."""
    if kind not in NORMS:
        raise KernelError(f"there is no norm {kind!r}", hint=nearest(kind, NORMS))


def activation_halves(kind: str) -> int:
    """Columns for each of the activation's: 2 where it is gated. Raises KernelError where there is no such."""
    if kind not in ACTIVATIONS:
        raise KernelError(f"there is no activation {kind!r}", hint=nearest(kind, ACTIVATIONS))
    return 2 if kind in GATED else 1


def check_heads(sizes: dict[str, int]) -> None:
    """Raise KernelError where query heads are no multiple of key heads."""
    if sizes["H"] % sizes["G"]:
        raise KernelError(f"attention: {sizes['H']} query heads are no multiple of {sizes['G']} key heads")


def refuse_labels(targets: Tensor, vocabulary: int, ignore_index: int = IGNORED) -> None:
    """Raise KernelError naming the first label neither in the vocabulary nor ``ignore_index``; waits for the GPU."""
    wrong = ((targets < 0) | (targets >= vocabulary)) & (targets != ignore_index)
    if wrong.any():
        at = wrong.nonzero()[0].tolist()
        raise KernelError(
            f"linear_cross_entropy: targets{at} is {targets[tuple(at)]}; labels are 0 to {vocabulary - 1}, "
            f"or {ignore_index} to be ignored"
        )


ROW_NORMS = ("layer", "rms", "none")


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


def head_width(outputs: int, n_head: int, n_kv_head: int, base: float | None) -> int:
    """C of (H + 2 G) C = ``outputs``."""
    heads = n_head + 2 * n_kv_head
    if min(n_head, n_kv_head) < 1 or n_head % n_kv_head:
        raise KernelError(f"norm_qkv: {n_head} heads of queries cannot share {n_kv_head} of keys and values")
    if outputs % heads:
        raise KernelError(
            f"norm_qkv: weight has {outputs} rows, which do not divide by {n_head} + 2 x {n_kv_head} heads"
        )
    if base is not None and outputs // heads % 2:
        raise KernelError(f"norm_qkv: heads are {outputs // heads} wide; only an even width turns by pairs")
    return outputs // heads


def check_mlp(
    op: str, sizes: dict[str, int], *, kind: str, norm: str, gain: Tensor | None, bias: Tensor | None
) -> None:  # fmt: skip
    """Raise KernelError for settings that are unknown, or at odds with the tensors."""
    for what, given, known in (("activation", kind, ACTIVATIONS), ("norm", norm, ROW_NORMS)):
        if given not in known:
            raise KernelError(f"there is no {what} {given!r}", hint=nearest(given, known))
    halves = 2 if kind in GATED else 1
    if sizes["I"] != halves * sizes["F"]:
        raise KernelError(
            f"{op}: w_in has {sizes['I']} rows; {kind} with d_ff {sizes['F']} takes {halves * sizes['F']}"
        )
    if norm != "none" and gain is None:
        raise KernelError(f"{op}: a norm of kind {norm!r} needs gain (K D)")
    if norm == "none" and (gain is not None or bias is not None):
        raise KernelError(f"{op}: gain or bias is given, and there is no norm", hint="norm='layer' or norm='rms'")
