"""Families of shapes: the fields that all models of a study have in common, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from isoflop.errors import ShapeError, nearest
from isoflop.shape import Shape

FAMILIES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "kaplan": {
            "norm": "layer",
            "activation": "gelu",
            "position": "learned",
            "bias": True,
            "tied_embeddings": True,
            "n_ctx": 1024,
            "n_vocab": 50257,
        },
        "modern": {
            "norm": "rms",
            "activation": "swiglu",
            "position": "rope",
            "bias": False,
            "tied_embeddings": False,
            "n_ctx": 4096,
            "n_vocab": 32000,
        },
    }
)
"""``kaplan``: the decoders of GPT-2, as in Kaplan et al. 2020, section 2; ``modern``: those of Llama 2 (Touvron et al.
2023)."""

HEAD = 64
"""Width of a head, or the least above it, where the number of heads is not said."""
GROUP = 4
"""Query heads of a key/value head in ``modern``, where so many divide the heads (Llama 3)."""


def kaplan(n_layer: int, d_model: int, **fields: Any) -> Shape:
    """A decoder as in Kaplan et al. 2020: d_ff = 4 d_model, heads of 64. ``fields`` are those of :class:`Shape`."""
    return Shape(**_filled("kaplan", n_layer, d_model, fields))


def modern(n_layer: int, d_model: int, **fields: Any) -> Shape:
    """A Llama-like decoder: RMS norm, SwiGLU of 8/3 d_model, rotary positions, grouped keys, no biases."""
    filled = _filled("modern", n_layer, d_model, fields)
    heads = filled["n_head"]
    return Shape(**{"n_kv_head": heads // GROUP if heads % GROUP == 0 else heads} | filled)


def family_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` with those of the ``family`` that they may name, which they overrule.

    Raises:
        ShapeError: no family has that name.
    """
    rest = {name: value for name, value in fields.items() if name != "family"}
    family = fields.get("family")
    if family is None:
        return rest
    if family not in FAMILIES:
        raise ShapeError(f"unknown family {family!r}", hint=nearest(str(family), FAMILIES))
    return {**FAMILIES[family], **rest}


def _filled(family: str, n_layer: int, d_model: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    n_head = max((n for n in range(1, max(1, d_model // HEAD) + 1) if d_model % n == 0), default=1)
    return {**FAMILIES[family], "n_layer": n_layer, "d_model": d_model, "n_head": n_head, **fields}
