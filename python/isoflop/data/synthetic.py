"""Sources whose entropy is known: a loss fitted to models of them has a truth to be held to.

``synthetic:zipf-markov?n_vocab=16&order=2&seed=3`` and ``synthetic:santa-fe?alpha=0.7&tokens=1e7`` are corpora like any
other. ``tokens`` is how many there are in all, the last tenth of them held out. ``synthetic(name)`` is the source
itself, with what is known of it.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isoflop.data.markov import ZipfMarkov
from isoflop.data.query import read_query
from isoflop.data.santa_fe import SantaFe
from isoflop.data.stream import Tokens
from isoflop.errors import CorpusError, nearest

PREFIX = "synthetic:"


class Source(Protocol):
    """A stationary source of tokens; entropies are in nats/token."""

    @property
    def n_vocab(self) -> int:
        """Tokens are 0 .. n_vocab - 1."""
        ...

    @property
    def entropy_rate(self) -> float:
        """The loss that no model and no context gets below."""
        ...

    def entropies(self, n: int) -> NDArray[np.float64]:
        """(n + 1,): the least loss of a token after 0, 1, ... n known tokens, exact."""
        ...

    def sample(self) -> Tokens:
        """The ``tokens`` tokens of ``seed``, the same on every machine."""
        ...


SOURCES: dict[str, Any] = {"zipf-markov": ZipfMarkov, "santa-fe": SantaFe}


def is_synthetic(source: str) -> bool:
    """Whether ``source`` names a synthetic one."""
    return source.startswith(PREFIX)


def synthetic(source: str) -> Source:
    """The source that ``synthetic:NAME?option=value&...`` describes.

    Raises:
        CorpusError: an unknown name or option, or a value out of its domain.
    """
    name = source.removeprefix(PREFIX).partition("?")[0]
    if name not in SOURCES:
        raise CorpusError(f"unknown synthetic source {name!r}", hint=nearest(name, SOURCES))
    defaults = {part.name: part.default for part in fields(SOURCES[name]) if part.default is not MISSING}
    _, options = read_query(source, defaults)
    made: Source = SOURCES[name](**options)
    return made


def window_loss(source: Source, n_ctx: int) -> float:
    """The least mean loss over windows of ``n_ctx`` targets, each predicted from what stands before it in its window.

    It is what held-out losses of models of that context tend to, a little above the entropy rate: the first targets of
    a window have little before them.
    """
    return float(source.entropies(n_ctx)[1:].mean())
