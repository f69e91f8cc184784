"""What an op takes and gives: tensors by name, axes and dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What a kernel reads and writes; sums and statistics are float32 in all of them."""


@dataclass(frozen=True)
class Argument:
    """One tensor of an op, or a sequence of them (``many``).

    ``dtype`` is the name of a dtype, or of a group ("data", "gradient") whose tensors share one of ``DTYPES``. Where
    ``turned``, the last two axes may lie in memory in the other order, as a transposed tensor's do.
    """

    name: str
    axes: str
    dtype: str = "data"
    optional: bool = False
    many: bool = False
    turned: bool = False


@dataclass(frozen=True)
class Op:
    """The tensors of an op, its per-model hyper-parameters ((K,) float64 arrays on the device), its settings."""

    tensors: tuple[Argument, ...]
    results: tuple[Argument, ...]
    hyper: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """All that has a model axis: tensors, then hyper-parameters."""
        return self.tensors + tuple(Argument(name, "K", "float64") for name in self.hyper)
