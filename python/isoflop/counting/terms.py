"""FLOPs of a shape: named terms of every pass, and conventions that charge for some of them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from isoflop import _core
from isoflop.counting.columns import flops_columns
from isoflop.counting.conventions import CONVENTIONS, Convention, describing
from isoflop.counting.masks import Mask
from isoflop.errors import ShapeError, SpecError, nearest
from isoflop.shape import Shape

__all__ = ["CONVENTIONS", "Convention", "Flops", "Mask", "Pairs", "Passes", "Row", "flops", "flops_columns", "table1"]

Pairs = _core.Pairs
Recompute = Literal["none", "full", "attention"]

_RECOMPUTE: Mapping[str, _core.Recompute] = {name: _core.Recompute[name.upper()] for name in get_args(Recompute)}


class Passes(NamedTuple):
    """FLOPs of one term: forward, gradients of activations, gradients of parameters, forward again."""

    forward: float
    dgrad: float
    wgrad: float
    recompute: float


@dataclass(frozen=True)
class Flops:
    """FLOPs of ``batch`` sequences of ``seq`` tokens; 2 a multiply-add, 1 any other operation of one element.

    Counts are doubles, exact below 2**53 and within 1e-12 of the exact integer above. ``mask`` None is the shape's own;
    ``recompute`` is what the backward pass computes again: nothing, every block, or attention's logits, softmax and
    values (Korthikanti et al. 2022).
    """

    shape: Shape
    batch: int
    seq: int
    mask: Mask | None = None
    recompute: Recompute = "none"

    @property
    def n_tokens(self) -> int:
        """Batch times seq."""
        return self.batch * self.seq

    @property
    def terms(self) -> Mapping[str, float]:
        """Forward FLOPs of each term, elementwise work included, attention over the pairs that the mask keeps."""
        return MappingProxyType({name: passes.forward for name, passes in self.table().items()})

    def terms_over(self, pairs: Pairs) -> Mapping[str, float]:
        """Forward FLOPs of the matrix products alone, attention counted over ``pairs``."""
        return MappingProxyType(_core.forward_terms(self.shape.core, self.batch, self.seq, self._mask, pairs))

    def table(self) -> Mapping[str, Passes]:
        """Every term in every pass, elementwise work included, attention over the pairs that the mask keeps.

        Terms: embed (a ViT's patches; adding positions; gathering tables' gradients), qkv, rope, logits, softmax,
        values, proj (prediction modules' projections too), mlp (an LSTM's gates too), act (an LSTM's cells too), router
        (with adding up experts), norms, residual (with biases), unembed, loss.

        FLOPs an element forward, in dgrad and in wgrad, where exponentials, roots, erf and tanh are one: softmax 6 5 0
        a pair and head, rope 3 3 0, gelu 5 10 0, relu2 2 3 0, swiglu 5 12 0, layer norm 6 10 2, rms norm 4 7 2, a bias
        1 0 1, an addition to the stream 1 1 0, adding up experts 2 3 0, an LSTM's cell 18 30 0, loss 4 3 0 a class,
        gathering a table's gradient 0 0 1.
        """
        recompute = _RECOMPUTE[self.recompute]
        counted = _core.all_terms(self.shape.core, self.batch, self.seq, self._mask, recompute)
        return MappingProxyType({name: Passes(*passes) for name, passes in counted.items()})

    def products(self) -> Mapping[str, Passes]:
        """:meth:`table` of the matrix products alone: what a tensor core does."""
        recompute = _RECOMPUTE[self.recompute]
        counted = _core.product_terms(self.shape.core, self.batch, self.seq, self._mask, recompute)
        return MappingProxyType({name: Passes(*passes) for name, passes in counted.items()})

    @property
    def recomputed(self) -> float:
        """FLOPs of the matrix products that the backward pass computes again: hardware's beyond the model's."""
        return sum(passes.recompute for passes in self.products().values())

    @property
    def optimizer(self) -> float:
        """FLOPs of one step of AdamW, 14 a parameter, whatever the batch."""
        return _core.adamw_step(self.shape.core)

    def forward(self, convention: str = "exact-causal") -> float:
        """Forward FLOPs of all tokens.

        Raises:
            SpecError: an unknown convention, or one that does not describe the shape's architecture.
            OverflowError: the shape's parameters exceed int64, whatever the convention charges for.
        """
        return _core.forward_flops(self.shape.core, self._described(convention), self.batch, self.seq, self._mask)

    def total(self, convention: str = "exact-causal") -> float:
        """Training FLOPs, forward and backward, of all tokens, without recomputation. Raises as :meth:`forward`."""
        return _core.training_flops(self.shape.core, self._described(convention), self.batch, self.seq, self._mask)

    def per_token(self, convention: str = "exact-causal") -> float:
        """Training FLOPs a token. Raises as :meth:`forward` does."""
        return _core.training_flops(self.shape.core, self._described(convention), 1, self.seq, self._mask) / self.seq

    def _described(self, convention: str) -> str:
        return describing(self.shape.architecture, convention)

    @property
    def _mask(self) -> _core.Mask | None:
        return None if self.mask is None else self.mask.core


def flops(
    shape: Shape,
    batch: int = 1,
    seq: int | None = None,
    mask: Mask | None = None,
    recompute: Recompute = "none",
) -> Flops:
    """FLOPs of ``batch`` sequences of ``seq`` tokens, by term and pass, and by every convention.

    Args:
        shape: a model.
        batch: sequences.
        seq: tokens of a sequence; default the shape's n_ctx.
        mask: which pairs of positions attend, counted exactly; default the shape's own.
        recompute: forward work done again for the backward pass: "none"; "attention", its core; "full", each block.

    Raises:
        ShapeError: ``batch`` or ``seq`` is not a positive whole number, ``seq`` exceeds the learned positions, a ViT is
            given another length than its image makes, or the mask does not fit the sequence.
        SpecError: an unknown ``recompute``.
    """
    length = shape.n_ctx if seq is None else _positive("seq", seq)
    if length != shape.n_ctx:
        _check_length(shape, length)
    if mask is not None:
        _check_mask(shape, mask, length)
    if recompute not in _RECOMPUTE:
        raise SpecError(f"recompute is {recompute!r}", hint=nearest(str(recompute), _RECOMPUTE))
    return Flops(shape, _positive("batch", batch), length, mask, recompute)


class Row(NamedTuple):
    """One operation of Kaplan et al. 2020, Table 1."""

    operation: str
    params: int
    flops_per_token: float


def table1(shape: Shape, *, seq: int | None = None) -> list[Row]:
    """Parameters and forward FLOPs per token of each operation: Kaplan et al. 2020, Table 1.

    The last row is the table's total, which leaves out embedding and de-embedding. ``seq`` as in :func:`flops`.

    Raises:
        ShapeError: a shape that the table does not describe: latents, experts, all but decoders.
    """
    length = flops(shape, seq=seq).seq
    try:
        return [Row(*row) for row in _core.kaplan_table1(shape.core, length)]
    except ValueError as error:
        raise ShapeError(str(error)) from error


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 < operator.index(value) < 2**63:
        raise ShapeError(f"{name} is {value!r}; it must be a positive whole number below 2**63")
    return operator.index(value)


def _check_length(shape: Shape, length: int) -> None:
    if shape.architecture == "vit":
        raise ShapeError(f"seq is {length}; a ViT's image makes it {shape.n_ctx}", hint="leave seq out")
    if shape.position == "learned" and length > shape.n_ctx:
        raise ShapeError(
            f"seq is {length}, longer than the {shape.n_ctx} learned positions",
            hint=f"use seq <= {shape.n_ctx}, a shape with n_ctx = {length}, or position='rope'",
        )


def _check_mask(shape: Shape, mask: Mask, length: int) -> None:
    if not isinstance(mask, Mask):
        raise ShapeError(f"mask is {mask!r}; it must be a Mask", hint="Mask.causal(), Mask.window(512), ...")
    try:
        _core.masked_pairs(shape.core, mask.core, length)
    except ValueError as error:
        raise ShapeError(str(error)) from error
