"""The shape of a model: the only description of an architecture, and its parameter counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from isoflop import _core
from isoflop.errors import ShapeError, nearest
from isoflop.shape.fields import NEEDED, OPTIONAL, Activation, Architecture, Norm, Position, defaults, resolve


@dataclass(frozen=True, init=False)
class Shape:
    """A Transformer, or an LSTM, validated; what is left out is filled in.

    Args:
        n_layer: blocks.
        d_model: width of the residual stream.
        n_head: query heads.
        n_ctx: longest sequence in tokens; the length of the table of learned positions. A ViT's is made by its image.
        n_vocab: rows of the token table. A ViT's is ``n_class``.
        d_ff: hidden width of the MLP. Default 4 d_model; for swiglu, whose three matrices would then hold half as
            much again, the smallest multiple of 8 that is at least 8/3 d_model.
        n_kv_head: key/value heads, a divisor of ``n_head``. Default ``n_head``.
        d_head: width of a head. Default d_model / n_head, which must then be whole.
        norm: "layer" (gain, and bias where ``bias``) or "rms" (gain alone). Two a block and a final one.
        activation: "gelu", "relu2" (squared ReLU) or "swiglu" (gated: three matrices instead of two).
        position: "learned" (a table of n_ctx rows, the default), "rope" (no parameters) or "none".
        bias: biases of every linear map of a block and of layer norms.
        tied_embeddings: the unembedding is the token table; the default but for a ViT, which has none.
        architecture: "decoder"; "encoder" and "vit", which see both ways; "universal", a decoder whose blocks are
            applied ``n_recurrence`` times (Dehghani et al. 2018; Kaplan et al. 2020, Fig. 17); "lstm", ``n_layer``
            layers of d_model cells, no norms (Kaplan et al. 2020, Fig. 7).
        window: keys that a query of a local layer sees, itself included. Default: all before it.
        global_every: with a window, every so-many-th layer sees everything: 6 is 5 local to 1 global; 0 is none.
        kv_lora_rank: latent attention (DeepSeek-V2, section 2.1): numbers a token that keys and values are made from.
        q_lora_rank: the same for queries. Default: queries are made from d_model.
        d_rope: rotary width of a latent head, beside ``d_head``; one rotary key is shared by all heads.
        d_value: value width of a latent head. Default ``d_head``.
        n_expert: routed experts of each MLP; a router of d_model n_expert weights.
        top_k: routed experts that a token uses.
        n_shared_expert: experts that every token uses.
        d_expert: hidden width of an expert. Default ``d_ff``.
        capacity_factor: places computed over tokens routed, for experts of fixed capacity. Default: dropless.
        n_dense_layer: first layers, with a plain MLP of ``d_ff``.
        n_predict: further multi-token-prediction modules (DeepSeek-V3, section 2.2): a projection from 2 d_model, one
            block and three norms each, sharing the tables.
        n_recurrence: times a universal Transformer's blocks are applied.
        image, patch: pixels a side; ``patch`` divides ``image``.
        channels: of the image. Default 3.
        class_token: one more position, which the head reads; without it the mean is read. Default True.
        n_class: outputs of a ViT's head.

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
    architecture: Architecture
    window: int | None
    global_every: int
    kv_lora_rank: int | None
    q_lora_rank: int | None
    d_rope: int | None
    d_value: int | None
    n_expert: int | None
    top_k: int | None
    n_shared_expert: int
    d_expert: int | None
    capacity_factor: float | None
    n_dense_layer: int
    n_predict: int
    n_recurrence: int | None
    image: int | None
    patch: int | None
    channels: int | None
    class_token: bool | None
    n_class: int | None

    def __init__(
        self,
        n_layer: int,
        d_model: int,
        n_head: int,
        n_ctx: int | None = None,
        n_vocab: int | None = None,
        d_ff: int | None = None,
        n_kv_head: int | None = None,
        d_head: int | None = None,
        norm: Norm = "layer",
        activation: Activation = "gelu",
        position: Position | None = None,
        bias: bool = True,
        tied_embeddings: bool | None = None,
        *,
        architecture: Architecture = "decoder",
        window: int | None = None,
        global_every: int = 0,
        kv_lora_rank: int | None = None,
        q_lora_rank: int | None = None,
        d_rope: int | None = None,
        d_value: int | None = None,
        n_expert: int | None = None,
        top_k: int | None = None,
        n_shared_expert: int = 0,
        d_expert: int | None = None,
        capacity_factor: float | None = None,
        n_dense_layer: int = 0,
        n_predict: int = 0,
        n_recurrence: int | None = None,
        image: int | None = None,
        patch: int | None = None,
        channels: int | None = None,
        class_token: bool | None = None,
        n_class: int | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        for name, value in resolve(given).items():
            object.__setattr__(self, name, value)

    @cached_property
    def core(self) -> _core.Shape:
        """The same shape for the C++ core."""
        return _core.Shape(**self.core_fields())

    def core_fields(self) -> dict[str, Any]:
        """What the C++ core is told: its names, and no field that is None."""
        counts = ("n_layer", "d_model", "n_head", "n_kv_head", "d_head", "d_ff", "n_ctx", "n_vocab", "bias")
        more = [name for name in OPTIONAL if name != "n_class" and getattr(self, name) is not None]
        fields = {name: getattr(self, name) for name in (*counts, *more)}
        return fields | {
            "gated": self.activation == "swiglu",
            "relu2": self.activation == "relu2",
            "rms": self.norm == "rms",
            "learned_position": self.position == "learned",
            "rope": self.position == "rope",
            "tied": self.tied_embeddings,
        }

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
        """Tables: tokens, learned positions, and the unembedding where it is not tied.

        A ViT's are the patch projection, class token, positions and head, with their biases.
        """
        return self.core.n_embedding

    @property
    def n_nonembedding(self) -> int:
        """N: everything but the tables: block matrices, biases and all norms."""
        return self.core.n_nonembedding

    @property
    def n_active_params(self) -> int:
        """Parameters that a token uses: ``n_params`` without the routed experts beyond ``top_k``."""
        return self.core.n_active_params

    @property
    def n_active_nonembedding(self) -> int:
        """``n_nonembedding`` without the routed experts beyond ``top_k``."""
        return self.core.n_active_nonembedding

    @property
    def n_kaplan(self) -> int:
        """N without biases and norms: 2 d_model n_layer (2 d_attn + d_ff) for plain attention and MLP.

        Kaplan et al. 2020, Table 1; all other matrices (grouped queries, gates, every expert and
        router, latents, an LSTM's gates) are counted as they are.
        """
        return self.core.n_kaplan

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, resolved, but for those of ``fields.OPTIONAL`` that the shape makes no use of."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if name not in OPTIONAL or value != OPTIONAL[name]}

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
        derived = ("n_ctx", "n_vocab") if fields.get("architecture") == "vit" else ()
        missing = [name for name in NEEDED if name not in fields and name not in derived]
        if missing:
            raise ShapeError(f"a shape needs {', '.join(missing)}", hint=f"given: {', '.join(fields) or 'nothing'}")
        return cls(**fields)

    def replace(self, **changes: Any) -> Self:
        """This shape with some fields changed.

        Fields that are filled in where left out (``d_ff``, ``n_kv_head``, ``d_head``, ``d_value``, ``d_expert``) follow
        the change where they hold those values and are not named.
        """
        fields = self.to_dict()
        following = {name for name, default in defaults(fields).items() if fields.get(name) == default}
        return self.from_dict({k: v for k, v in fields.items() if k not in following} | changes)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def _repr_html_(self) -> str:
        counts = {"n_params": self.n_params, "n_nonembedding": self.n_nonembedding}
        if self.n_expert is not None:
            counts |= {"n_active_params": self.n_active_params, "n_active_nonembedding": self.n_active_nonembedding}
        rows = [*self.to_dict().items(), *((name, f"{count:,}") for name, count in counts.items())]
        body = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in rows)
        return f"<table><caption>Shape</caption>{body}</table>"
