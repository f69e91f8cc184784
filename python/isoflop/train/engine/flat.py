"""All parameters of a model in one vector, kind by kind, so that an optimizer knows them by their place."""

from __future__ import annotations

import math
import re

from torch import Tensor

from isoflop.kernels.parameter_kinds import Kind, kind_of
from isoflop.train.engine.moments import Sizes

KINDS: tuple[Kind, ...] = ("embedding", "output", "vector", "hidden")
"""In the order in which they lie: what is moved by another optimizer than the hidden matrices begins with the model."""
CHUNK = 65_536
"""Parameters that an update takes at once: with gradient and moments 1 MiB, which stays in a core's cache."""
_LINE = 16  # float32 of a cache line, on which each parameter begins


class Flat:
    """Places of tensors of these ``sizes``: ``chunks`` of ``chunk`` numbers each, ``numbers`` in all with the gaps.

    ``pieces``: where those of each of ``KINDS`` begin and end; ``names`` are in the order of ``sizes``.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.pieces: list[tuple[int, int]] = []
        end = 0
        for kind in KINDS:
            begin = end
            for name, size in sizes.items():
                if kind_of(name) == kind:
                    self._places[name] = end, size
                    end += -(-math.prod(size) // _LINE) * _LINE
            self.pieces.append((begin, end))
        self.names = list(sizes)
        self.chunks = -(-end // CHUNK)
        self.chunk = -(-end // (self.chunks * _LINE)) * _LINE
        self.numbers = self.chunks * self.chunk

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters (K, ...), by name, in ``flat`` (K, numbers)."""
        found = {name: self._places[name] for name in self.names}
        return {
            name: flat[:, start : start + math.prod(size)].view(len(flat), *size)
            for name, (start, size) in found.items()
        }

    def place(self, name: str) -> tuple[int, int]:
        """Where the numbers of a parameter begin and end."""
        start, size = self._places[name]
        return start, start + math.prod(size)

    def apart(self, name: str) -> int:
        """Numbers from a parameter of a block to that of the next; 0 where there is none."""
        other = re.sub(r"^blocks\.(\d+)\.", lambda found: f"blocks.{int(found[1]) + 1}.", name)
        return self._places[other][0] - self._places[name][0] if other in self._places else 0

    def pieces_of_chunk(self, chunk: int) -> list[tuple[int, int]]:
        """``pieces`` as counted from the first number of a chunk; they may begin before it and end behind it."""
        first = chunk * self.chunk
        return [(begin - first, end - first) for begin, end in self.pieces]
