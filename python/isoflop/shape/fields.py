"""The fields of a shape: what each may hold, what it is where left out, and which go together."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal, get_args

from isoflop.errors import ShapeError, nearest

Norm = Literal["layer", "rms"]
Activation = Literal["gelu", "relu2", "swiglu"]
Position = Literal["learned", "rope", "none"]
Architecture = Literal["decoder", "encoder", "vit", "lstm", "universal"]

CHOICES: dict[str, tuple[str, ...]] = {
    "architecture": get_args(Architecture),
    "norm": get_args(Norm),
    "activation": get_args(Activation),
    "position": get_args(Position),
}
FLAGS = ("bias", "tied_embeddings", "class_token")
NEEDED = ("n_layer", "d_model", "n_head", "n_ctx", "n_vocab")
COUNTS = (
    *(*NEEDED, "d_ff", "n_kv_head", "d_head", "window", "kv_lora_rank", "q_lora_rank", "d_rope", "d_value"),
    *("n_expert", "top_k", "d_expert", "n_recurrence", "image", "patch", "channels", "n_class"),
)
COUNTS_OR_ZERO = ("global_every", "n_shared_expert", "n_dense_layer", "n_predict")

OPTIONAL: Mapping[str, Any] = {
    "architecture": "decoder",
    "window": None,
    "global_every": 0,
    "kv_lora_rank": None,
    "q_lora_rank": None,
    "d_rope": None,
    "d_value": None,
    "n_expert": None,
    "top_k": None,
    "n_shared_expert": 0,
    "d_expert": None,
    "capacity_factor": None,
    "n_dense_layer": 0,
    "n_predict": 0,
    "n_recurrence": None,
    "image": None,
    "patch": None,
    "channels": None,
    "class_token": None,
    "n_class": None,
}
"""Fields that a shape's dictionary leaves out where they hold these values."""

_FILLED_IN = ("n_ctx", "n_vocab", "d_ff", "n_kv_head", "d_head", "position", "tied_embeddings")

# Fields that mean nothing without another one.
_NEEDS = {
    "global_every": "window",
    "q_lora_rank": "kv_lora_rank",
    "d_rope": "kv_lora_rank",
    "d_value": "kv_lora_rank",
    "top_k": "n_expert",
    "n_shared_expert": "n_expert",
    "d_expert": "n_expert",
    "capacity_factor": "n_expert",
    "n_dense_layer": "n_expert",
}
OF_EXPERTS = ("n_expert", *(name for name, other in _NEEDS.items() if other == "n_expert"))
"""Fields that only a mixture of experts has."""
_IMAGE = ("image", "patch", "channels", "class_token", "n_class")
# Fields that only some architectures have.
_ONLY: dict[str, tuple[str, ...]] = {
    "window": ("decoder", "universal"),
    "n_predict": ("decoder",),
    "n_recurrence": ("universal",),
    "kv_lora_rank": ("decoder", "encoder", "vit", "universal"),
    "n_expert": ("decoder", "encoder", "vit", "universal"),
} | dict.fromkeys(_IMAGE, ("vit",))
# What an LSTM has no use for must hold what it would be given.
_LSTM = {"n_head": 1, "position": "none", "norm": "layer", "activation": "gelu"}

_INT64_MAX = 2**63 - 1


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, validated, from those given; None means left out.

    Raises:
        ShapeError: a field is out of its domain, or does not go with another.
    """
    left_out = {name for name, value in given.items() if value is None and (name in OPTIONAL or name in _FILLED_IN)}
    checked = {name: _checked(name, value) for name, value in given.items() if name not in left_out}
    fields = {**OPTIONAL, **checked}
    _check_architecture(fields, checked)
    if fields["architecture"] == "vit":
        fields |= _image_counts(fields)
    missing = [name for name in NEEDED if name not in fields]
    if missing:
        raise ShapeError(f"a shape needs {', '.join(missing)}")
    fields = defaults(fields) | {name: value for name, value in fields.items() if value is not None}
    _check_heads(fields)
    _check_latent(fields)
    _check_mixture(fields)
    _check_window(fields)
    return {**OPTIONAL, **fields}


def defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What fields that are left out become, given the others."""
    d_model, n_head, architecture = fields["d_model"], fields["n_head"], fields.get("architecture", "decoder")
    wide = 8 * -(-d_model // 3) if fields["activation"] == "swiglu" else 4 * d_model
    filled = {
        "d_ff": wide,
        "n_kv_head": n_head,
        "position": "none" if architecture == "lstm" else "learned",
        "tied_embeddings": architecture != "vit",
    }
    if d_model % n_head == 0:
        filled["d_head"] = d_model // n_head
    if fields.get("kv_lora_rank") is not None:
        filled["d_value"] = fields.get("d_head") or filled.get("d_head")
    if fields.get("n_expert") is not None:
        filled["d_expert"] = fields.get("d_ff") or wide
    if architecture == "vit":
        filled |= {"channels": 3, "class_token": True} | _image_counts(fields)
    return filled


def _checked(name: str, value: Any) -> Any:
    if name in CHOICES:
        return _choice(name, value)
    if name in FLAGS:
        if not isinstance(value, bool):
            raise ShapeError(f"{name} is {value!r}; it must be True or False")
        return value
    if name == "capacity_factor":
        return _factor(name, value)
    return _count(name, value, least=0 if name in COUNTS_OR_ZERO else 1)


def _choice(name: str, value: Any) -> str:
    allowed = CHOICES[name]
    if value not in allowed:
        hint = nearest(value, allowed) if isinstance(value, str) else None
        raise ShapeError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}", hint=hint)
    return str(value)


def _count(name: str, value: Any, *, least: int) -> int:
    kind = "positive whole number" if least else "whole number, zero or more,"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ShapeError(f"{name} is {value!r} ({type(value).__name__}); it must be a {kind.rstrip(',')}")
    count = operator.index(value)
    if not least <= count <= _INT64_MAX:
        raise ShapeError(f"{name} is {count}; it must be a {kind} below 2**63")
    return count


def _factor(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ShapeError(f"{name} is {value!r}; it must be a positive number")
    return float(value)


def _check_architecture(fields: Mapping[str, Any], checked: Mapping[str, Any]) -> None:
    architecture = fields["architecture"]
    for name, allowed in _ONLY.items():
        if fields[name] != OPTIONAL[name] and architecture not in allowed:
            raise ShapeError(f"{name} is {fields[name]!r}; architecture {architecture!r} has none", hint=_only(allowed))
    for name, needed in _NEEDS.items():
        if fields[name] != OPTIONAL[name] and fields[needed] is None:
            raise ShapeError(f"{name} is {fields[name]!r}, which means nothing without {needed}")
    if architecture == "universal" and fields["n_recurrence"] is None:
        raise ShapeError("architecture 'universal' needs n_recurrence", hint="how often the blocks are applied")
    if architecture == "lstm":
        allowed_values = _LSTM | {"d_ff": 4 * fields["d_model"], "n_kv_head": 1, "d_head": fields["d_model"]}
        for name, value in allowed_values.items():
            if name in checked and checked[name] != value:
                raise ShapeError(f"{name} is {checked[name]!r}; an LSTM has none: it must be {value!r} or left out")


def _only(allowed: tuple[str, ...]) -> str:
    return f"architectures that have it: {', '.join(allowed)}"


def _image_counts(fields: Mapping[str, Any]) -> dict[str, int]:
    missing = [name for name in ("image", "patch", "n_class") if fields.get(name) is None]
    if missing:
        raise ShapeError(f"architecture 'vit' needs {', '.join(missing)}")
    image, patch = fields["image"], fields["patch"]
    if image % patch:
        raise ShapeError(
            f"patch is {patch}; it must divide image = {image}", hint=f"use image = {_nearest_multiple(image, patch)}"
        )
    class_token = fields.get("class_token")
    counts = {
        "n_ctx": (image // patch) ** 2 + (1 if class_token is None else int(class_token)),
        "n_vocab": fields["n_class"],
    }
    for name, count in counts.items():
        if fields.get(name, count) != count:
            raise ShapeError(f"{name} is {fields[name]}; the image makes it {count}", hint=f"leave {name} out")
    if fields.get("tied_embeddings"):
        raise ShapeError("tied_embeddings is True; a ViT's head has no token table to share")
    return counts


def _check_heads(fields: Mapping[str, Any]) -> None:
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
    turned = "d_head" if fields.get("kv_lora_rank") is None else "d_rope"
    if fields["position"] == "rope" and turned in fields and fields[turned] % 2:
        raise ShapeError(
            f"{turned} is {fields[turned]}; rotary positions turn pairs, so it must be even",
            hint=f"use {turned} = {d_head + 1 if turned == 'd_head' else fields[turned] + 1}",
        )


def _check_latent(fields: Mapping[str, Any]) -> None:
    if fields.get("kv_lora_rank") is None:
        return
    if fields["n_kv_head"] != fields["n_head"]:
        raise ShapeError(
            f"n_kv_head is {fields['n_kv_head']}; latent attention (kv_lora_rank) makes keys for each of "
            f"n_head = {fields['n_head']} heads",
            hint="leave n_kv_head out",
        )
    rope = fields["position"] == "rope"
    if rope != ("d_rope" in fields):
        said = "needs d_rope" if rope else f"is given d_rope = {fields['d_rope']}"
        raise ShapeError(
            f"latent attention with position {fields['position']!r} {said}",
            hint="d_rope is the rotary width of a head, beside d_head; it goes with position='rope'",
        )


def _check_mixture(fields: Mapping[str, Any]) -> None:
    n_expert = fields.get("n_expert")
    if n_expert is None:
        return
    if "top_k" not in fields:
        raise ShapeError(f"n_expert is {n_expert}; top_k must say how many of them a token uses")
    if fields["top_k"] > n_expert:
        raise ShapeError(f"top_k is {fields['top_k']}; it must be at most n_expert = {n_expert}")
    if fields["n_dense_layer"] > fields["n_layer"]:
        raise ShapeError(
            f"n_dense_layer is {fields['n_dense_layer']}; it must be at most n_layer = {fields['n_layer']}"
        )


def _check_window(fields: Mapping[str, Any]) -> None:
    window, every = fields.get("window"), fields.get("global_every", 0)
    if window is None:
        return
    if window > fields["n_ctx"]:
        raise ShapeError(f"window is {window}, longer than the context n_ctx = {fields['n_ctx']}")
    if every == 1:
        raise ShapeError("global_every is 1: every layer sees everything", hint="leave window and global_every out")


def _nearest_multiple(value: int, divisor: int) -> int:
    return max(divisor, (value + divisor // 2) // divisor * divisor)
