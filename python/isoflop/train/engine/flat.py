"""All parameters of a model in one vector: those that decay first, so that an optimizer knows them by their place."""

from __future__ import annotations

import math

from torch import Tensor

from isoflop.kernels.gpt_parameters import parameter_sizes
from isoflop.shape import Shape

CHUNK = 65_536
"""Parameters that an update takes at once: with gradient and moments 1 MiB, which stays in a core's cache."""
_LINE = 16  # float32 of a cache line, on which each parameter begins


class Flat:
    """Places of the parameters of ``shape``: ``chunks`` of ``chunk`` numbers each, ``numbers`` in all with the gaps.

    ``decayed``: how many numbers, from the first on, are those of matrices and tables.
    """

    def __init__(self, shape: Shape) -> None:
        sizes = parameter_sizes(shape)
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}
        end = self.decayed = 0
        for matrices in (True, False):
            for name, size in sizes.items():
                if (len(size) > 1) == matrices:
                    self._places[name] = end, size
                    end += -(-math.prod(size) // _LINE) * _LINE
            self.decayed = self.decayed or end
        self._names = list(sizes)
        self.chunks = -(-end // CHUNK)
        self.chunk = -(-end // (self.chunks * _LINE)) * _LINE
        self.numbers = self.chunks * self.chunk

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters (K, ...), by name, in ``flat`` (K, numbers)."""
        found = {name: self._places[name] for name in self._names}
        return {
            name: flat[:, start : start + math.prod(size)].view(len(flat), *size)
            for name, (start, size) in found.items()
        }

    def decayed_of_chunk(self, chunk: int) -> int:
        """How many leading numbers of a chunk decay."""
        return min(max(self.decayed - chunk * self.chunk, 0), self.chunk)
