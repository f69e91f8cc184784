"""The shape of a decoder-only Transformer: the only description of an architecture, and its parameter counts."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

from isoflop import _core
from isoflop.errors import ShapeError, nearest

Norm = Literal["layer", "rms"]
Activation = Literal["gelu", "relu2", "swiglu"]
Position = Literal["learned", "rope", "none"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "norm": get_args(Norm),
    "activation": get_args(Activation),
    "position": get_args(Position),
}
_COUNTS = ("n_layer", "d_model", "n_head", "n_ctx", "n_vocab", "d_ff", "n_kv_head", "d_head")
_FLAGS = ("bias", "tied_embeddings")
_DERIVED = ("d_ff", "n_kv_head", "d_head")
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, init=False)
class Shape:
    """A decoder-only Transformer, validated; what is left out is filled in.

    Args:
        n_layer: blocks.
        d_model: width of the residual stream.
        n_head: query heads.
        n_ctx: longest sequence in tokens; the length of the table of learned positions.
        n_vocab: rows of the token table.
        d_ff: hidden width of the MLP. Default 4 d_model; for swiglu, whose three matrices would then hold half as
            much again, the smallest multiple of 8 that is at least 8/3 d_model.
        n_kv_head: key/value heads, a divisor of ``n_head``. Default ``n_head``.
        d_head: width of a head. Default d_model / n_head, which must then be whole.
        norm: "layer" (gain, and bias where ``bias``) or "rms" (gain alone). Two a block and a final one.
        activation: "gelu", "relu2" (squared ReLU) or "swiglu" (gated: three matrices instead of two).
        position: "learned" (a table of n_ctx rows), "rope" (no parameters) or "none".
        bias: biases of every linear map of a block and of layer norms.
        tied_embeddings: the unembedding is the token table.

    Raises:
        ShapeError: a field is out of its domain; the message names the field, its value and what is allowed.
    """

    n_layer: int
    d_model: int
    n_head: int
    n_ctx: int
    n_vocab: int
    d_ff: int
    n_kv_head: int
    d_head: int
    norm: Norm
    activation: Activation
    position: Position
    bias: bool
    tied_embeddings: bool

    def __init__(
        self,
        n_layer: int,
        d_model: int,
        n_head: int,
        n_ctx: int,
        n_vocab: int,
        d_ff: int | None = None,
        n_kv_head: int | None = None,
        d_head: int | None = None,
        norm: Norm = "layer",
        activation: Activation = "gelu",
        position: Position = "learned",
        bias: bool = True,
        tied_embeddings: bool = True,
    ) -> None:
        given: dict[str, Any] = {
            "n_layer": n_layer,
            "d_model": d_model,
            "n_head": n_head,
            "n_ctx": n_ctx,
            "n_vocab": n_vocab,
            "norm": norm,
            "activation": activation,
            "position": position,
            "bias": bias,
            "tied_embeddings": tied_embeddings,
        }
        optional = {"d_ff": d_ff, "n_kv_head": n_kv_head, "d_head": d_head}
        given |= {name: value for name, value in optional.items() if value is not None}
        checked = _checked_alone(given)
        fields = _defaults(checked) | checked
        _check_together(fields)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @cached_property
    def core(self) -> _core.Shape:
        """The same shape for the C++ core."""
        return _core.Shape(
            n_layer=self.n_layer,
            d_model=self.d_model,
            n_head=self.n_head,
            n_kv_head=self.n_kv_head,
            d_head=self.d_head,
            d_ff=self.d_ff,
            n_ctx=self.n_ctx,
            n_vocab=self.n_vocab,
            gated=self.activation == "swiglu",
            rms=self.norm == "rms",
            learned_position=self.position == "learned",
            bias=self.bias,
            tied=self.tied_embeddings,
        )

    @property
    def d_attn(self) -> int:
        """Width of all query heads together, n_head d_head."""
        return self.core.d_attn

    @property
    def n_params(self) -> int:
        """All parameters. Raises OverflowError beyond int64, as every count does."""
        return self.core.n_params

    @property
    def n_embedding(self) -> int:
        """Token table, learned positions, and the unembedding where it is not tied."""
        return self.core.n_embedding

    @property
    def n_nonembedding(self) -> int:
        """N: everything but the tables: block matrices, biases and all norms."""
        return self.core.n_nonembedding

    @property
    def n_kaplan(self) -> int:
        """N without biases and norms: 2 d_model n_layer (2 d_attn + d_ff) for plain attention and MLP.

        Kaplan et al. 2020, Table 1; grouped queries and gated MLPs are counted by their own matrices.
        """
        return self.core.n_kaplan

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, resolved: ints, strings and booleans alone."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The shape with these fields.

        Raises:
            ShapeError: a field is unknown, missing or out of its domain.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise ShapeError(f"a shape has no field {name!r}", hint=nearest(name, known))
        missing = [name for name in _COUNTS if name not in fields and name not in _DERIVED]
        if missing:
            raise ShapeError(f"a shape needs {', '.join(missing)}", hint=f"given: {', '.join(fields) or 'nothing'}")
        return cls(**fields)

    def replace(self, **changes: Any) -> Self:
        """This shape with some fields changed.

        ``d_ff``, ``n_kv_head`` and ``d_head`` follow the change where they hold their defaults and are not named.
        """
        fields = self.to_dict()
        following = {name for name, default in _defaults(fields).items() if fields[name] == default}
        return self.from_dict({k: v for k, v in fields.items() if k not in following} | changes)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)


def _checked_alone(given: dict[str, Any]) -> dict[str, Any]:
    checked = dict(given)
    for name in _COUNTS:
        if name in given:
            checked[name] = _count(name, given[name])
    for name, allowed in _CHOICES.items():
        if given[name] not in allowed:
            hint = nearest(given[name], allowed) if isinstance(given[name], str) else None
            raise ShapeError(f"{name} is {given[name]!r}; it must be one of {', '.join(map(repr, allowed))}", hint=hint)
    for name in _FLAGS:
        if not isinstance(given[name], bool):
            raise ShapeError(f"{name} is {given[name]!r}; it must be True or False")
    return checked


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ShapeError(f"{name} is {value!r} ({type(value).__name__}); it must be a positive whole number")
    count = operator.index(value)
    if not 0 < count <= _INT64_MAX:
        raise ShapeError(f"{name} is {count}; it must be a positive whole number below 2**63")
    return count


def _defaults(fields: dict[str, Any]) -> dict[str, int]:
    d_model, n_head = fields["d_model"], fields["n_head"]
    d_ff = 8 * -(-d_model // 3) if fields["activation"] == "swiglu" else 4 * d_model
    heads = {} if d_model % n_head else {"d_head": d_model // n_head}
    return {"d_ff": d_ff, "n_kv_head": n_head} | heads


def _check_together(fields: dict[str, Any]) -> None:
    d_model, n_head, n_kv_head = fields["d_model"], fields["n_head"], fields["n_kv_head"]
    if "d_head" not in fields:
        raise ShapeError(
            f"d_model is {d_model}, which n_head = {n_head} does not divide",
            hint=f"use d_model = {_nearest_multiple(d_model, n_head)}, or say d_head",
        )
    d_head = fields["d_head"]
    if n_head % n_kv_head:
        divisors = ", ".join(str(n) for n in range(1, min(n_head, 1024) + 1) if n_head % n == 0)
        raise ShapeError(f"n_kv_head is {n_kv_head}; it must divide n_head = {n_head}", hint=f"allowed: {divisors}")
    if fields["position"] == "rope" and d_head % 2:
        raise ShapeError(
            f"d_head is {d_head}; rotary positions turn pairs, so it must be even", hint=f"use d_head = {d_head + 1}"
        )


def _nearest_multiple(value: int, divisor: int) -> int:
    return max(divisor, (value + divisor // 2) // divisor * divisor)
