"""The parameters of any torch model by part, and its shape as far as its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isoflop.errors import require

_SHAPE: Mapping[str, tuple[str, ...]] = {
    "n_layer": ("num_hidden_layers", "n_layer", "n_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model", "dim"),
    "d_ff": ("intermediate_size", "n_inner", "d_ff"),
    "n_head": ("num_attention_heads", "n_head", "n_heads"),
    "n_kv_head": ("num_key_value_heads", "n_kv_head", "n_kv_heads"),
    "n_ctx": ("max_position_embeddings", "block_size", "n_ctx", "max_seq_len"),
    "n_vocab": ("vocab_size", "n_vocab"),
}
"""Fields of a shape, and what configurations call them."""
_CONFIGURATIONS = ("config", "model_args", "args")


@dataclass(frozen=True)
class Parameters:
    """How many parameters a model has; shared ones count once.

    Attributes:
        total: all.
        embedding: those of its embedding tables, of tokens and positions.
        unembedding: those of the layer that makes logits, where it shares none with a table.
        tables: the modules that both of them are, by their names.
    """

    total: int
    embedding: int
    unembedding: int
    tables: tuple[str, ...]

    @property
    def nonembedding(self) -> int:
        """N: all but the tables and the unembedding, as :attr:`isoflop.Shape.n_nonembedding`."""
        return self.total - self.embedding - self.unembedding

    def counts(self) -> dict[str, float]:
        """As counts of a run."""
        return {
            "N": float(self.nonembedding),
            "n_params": float(self.total),
            "n_embedding": float(self.embedding),
            "n_unembedding": float(self.unembedding),
        }


def count_parameters(model: Any) -> Parameters:
    """The parameters of a torch module by part.

    Tables are modules of ``torch.nn.Embedding``. The unembedding is what ``get_output_embeddings`` of a model of
    transformers names, else the last linear layer, if its weight has the shape of a table.
    """
    nn = require("torch.nn", extra="train")
    tables = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    table_weights = {id(module.weight): module.weight for module in tables.values()}
    head_name, head = _head(model, nn, [module.weight for module in tables.values()])
    apart = [weight for weight in head.parameters() if id(weight) not in table_weights] if head is not None else []
    return Parameters(
        total=sum(weight.numel() for weight in model.parameters()),
        embedding=sum(weight.numel() for weight in table_weights.values()),
        unembedding=sum(weight.numel() for weight in apart),
        tables=(*tables, *((head_name,) if apart else ())),
    )


def shape_of(model: Any) -> dict[str, int]:
    """The fields of the shape that the model's configuration names."""
    for name in _CONFIGURATIONS:
        config = getattr(model, name, None)
        if config is None:
            continue
        found = {field: _first(config, names) for field, names in _SHAPE.items()}
        if given := {field: value for field, value in found.items() if value is not None}:
            return given
    return {}


def _head(model: Any, nn: Any, weights: list[Any]) -> tuple[str, Any]:
    named = getattr(model, "get_output_embeddings", None)
    head = named() if callable(named) else None
    if head is not None:
        return next((name for name, module in model.named_modules() if module is head), ""), head
    last = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1:]
    for name, module in last:
        if any(module.weight.shape == weight.shape for weight in weights):
            return name, module
    return "", None


def _first(config: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
