"""FLOPs of a shape: named terms of the forward pass, and conventions that select among them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from isoflop import _core
from isoflop.errors import ShapeError, SpecError, nearest
from isoflop.shape import Shape

Convention = _core.Convention
Pairs = _core.Pairs
Params = _core.Params

CONVENTIONS: Mapping[str, Convention] = MappingProxyType({c.name: c for c in _core.CONVENTIONS})
"""Every convention by name: which parameters are charged, which terms are counted over which pairs, its source."""


@dataclass(frozen=True)
class Flops:
    """FLOPs of ``batch`` sequences of ``seq`` tokens; 2 a multiply-add.

    Counts are doubles, exact below 2**53 and within 1e-12 of the exact integer above.
    """

    shape: Shape
    batch: int
    seq: int

    @property
    def n_tokens(self) -> int:
        """Batch times seq."""
        return self.batch * self.seq

    @property
    def terms(self) -> Mapping[str, float]:
        """Forward FLOPs of each matrix product (qkv, logits, values, proj, mlp, unembed), attention over all pairs."""
        return self.terms_over(Pairs.FULL)

    def terms_over(self, pairs: Pairs) -> Mapping[str, float]:
        """Forward FLOPs of each matrix product, attention counted over ``pairs``."""
        return MappingProxyType(_core.forward_terms(self.shape.core, self.batch, self.seq, pairs))

    def forward(self, convention: str = "exact-causal") -> float:
        """Forward FLOPs of all tokens.

        Raises:
            SpecError: an unknown convention.
            OverflowError: a parameter count beyond int64.
        """
        return _core.forward_flops(self.shape.core, _known(convention), self.batch, self.seq)

    def total(self, convention: str = "exact-causal") -> float:
        """Training FLOPs, forward and backward, of all tokens. Raises as :meth:`forward` does."""
        return _core.training_flops(self.shape.core, _known(convention), self.batch, self.seq)

    def per_token(self, convention: str = "exact-causal") -> float:
        """Training FLOPs a token. Raises as :meth:`forward` does."""
        return _core.training_flops(self.shape.core, _known(convention), 1, self.seq) / self.seq


def flops(shape: Shape, *, batch: int = 1, seq: int | None = None) -> Flops:
    """FLOPs of ``batch`` sequences of ``seq`` tokens (default: the shape's n_ctx).

    Raises:
        ShapeError: ``batch`` or ``seq`` is not a positive whole number, or ``seq`` exceeds the learned positions.
    """
    length = _positive("seq", shape.n_ctx if seq is None else seq)
    if shape.position == "learned" and length > shape.n_ctx:
        raise ShapeError(
            f"seq is {length}, longer than the {shape.n_ctx} learned positions",
            hint=f"use seq <= {shape.n_ctx}, a shape with n_ctx = {length}, or position='rope'",
        )
    return Flops(shape, _positive("batch", batch), length)


class Row(NamedTuple):
    """One operation of Kaplan et al. 2020, Table 1."""

    operation: str
    params: int
    flops_per_token: float


def table1(shape: Shape, *, seq: int | None = None) -> list[Row]:
    """Parameters and forward FLOPs per token of each operation: Kaplan et al. 2020, Table 1.

    The last row is the table's total, which leaves out embedding and de-embedding. ``seq`` as in :func:`flops`.
    """
    return [Row(*row) for row in _core.kaplan_table1(shape.core, flops(shape, seq=seq).seq)]


def _known(convention: str) -> str:
    if convention not in CONVENTIONS:
        raise SpecError(f"unknown FLOP convention {convention!r}", hint=nearest(convention, CONVENTIONS))
    return convention


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 < operator.index(value) < 2**63:
        raise ShapeError(f"{name} is {value!r}; it must be a positive whole number below 2**63")
    return operator.index(value)
