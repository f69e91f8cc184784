"""What kind each parameter of a model is, by its name: what first values, learning rates and decay go by."""

from __future__ import annotations

from typing import Literal

Kind = Literal["embedding", "hidden", "output", "vector"]

_NAMED: dict[str, Kind] = {
    "tokens": "embedding",
    "positions": "embedding",
    "unembed": "output",
    "router": "output",
    "gain": "vector",
    "bias": "vector",
}


def kind_of(name: str) -> Kind:
    """The kind of the parameter of that name: a table looked up, a matrix, a gain or bias.

    ``output`` maps a width to a fixed number of choices: the unembedding where it is not tied, routers of experts.
    """
    return _NAMED.get(name.rpartition(".")[2], "hidden")
