"""Published models by name, read once from ``models.toml``: their shapes and the parameters their authors count."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from isoflop.errors import ShapeError, nearest
from isoflop.shape import Shape


@dataclass(frozen=True)
class NamedShape:
    """A published model.

    Attributes:
        name: how it is asked for.
        shape: its shape.
        params: all its parameters as published: exact where the weights are public, else rounded.
        source: paper and table.
        tolerance: relative, of a rounded ``params``; 0 where it is exact.
        outside: parameters among ``params`` of kinds that a shape does not have; ``note`` names them.
        active: parameters that a token uses, as published and rounded, where there are experts.
        active_tolerance: relative, of ``active``.
        aliases: further names.
        note: what to know before counting it.
    """

    name: str
    shape: Shape
    params: float
    source: str
    tolerance: float = 0.0
    outside: int = 0
    active: float | None = None
    active_tolerance: float = 0.0
    aliases: tuple[str, ...] = ()
    note: str = ""


def get_named(name: str) -> NamedShape:
    """The published model of that name, or alias, with its source.

    Raises:
        ShapeError: there is none; the hint names the nearest.
    """
    found = named_shapes().get(name) or named_shapes().get(_aliases().get(name, ""))
    if found is None:
        raise ShapeError(f"unknown model {name!r}", hint=nearest(name, [*named_shapes(), *_aliases()]))
    return found


def named_shape(name: str) -> Shape:
    """The shape of the published model of that name: "gpt2-xl", "llama-3-8b", "deepseek-v3".

    ``isoflop.shape.named.named_shapes()`` lists all, with their sources.

    Raises:
        ShapeError: there is none; the hint names the nearest.
    """
    return get_named(name).shape


@cache
def named_shapes() -> Mapping[str, NamedShape]:
    """Every published model by name."""
    text = files("isoflop.shape").joinpath("models.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: _read(name, table) for name, table in tomllib.loads(text).items()})


@cache
def _aliases() -> Mapping[str, str]:
    return {alias: model.name for model in named_shapes().values() for alias in model.aliases}


def _read(name: str, table: dict[str, Any]) -> NamedShape:
    shape = Shape.from_dict(table.pop("shape"))
    return NamedShape(name, shape, aliases=tuple(table.pop("aliases", ())), **table)
