"""What a model drops by chance on its way through one batch."""

from __future__ import annotations

from torch import Tensor

from isoflop.errors import SpecError
from isoflop.kernels import reference as ops


class Drops:
    """The dropouts of one pass of a model, numbered in the order in which the pass comes to them.

    Args:
        rate: probability.
        seed: of the model.
        step: updates it has made.
        first: sequences of its batch that are before those of this pass.

    Raises:
        SpecError: a rate outside [0, 1).
    """

    def __init__(self, rate: float, *, seed: int = 0, step: int = 0, first: int = 0) -> None:
        if not 0 <= rate < 1:
            raise SpecError(f"dropout = {rate!r} must be a probability, in [0, 1)")
        self.rate, self._seed, self._step, self._first = rate, seed, step, first
        self._met = 0

    def drop(self, x: Tensor) -> Tensor:
        """``x`` (batch, ...) with the numbers that are kept larger for those that are not."""
        return ops.dropout(x, self._seed, self._step, start=self._first * x[0].numel(), rate=self.rate, op=self._next())

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, window: int | None, scale: float | None) -> Tensor:
        """Causal attention of q, k, v (batch, heads, seq, d_head) whose weights are dropped."""
        start = self._first * q.shape[1] * q.shape[2] ** 2
        return ops.dropped_attention(
            q, k, v, self._seed, self._step, start, rate=self.rate, op=self._next(), window=window, scale=scale
        )

    def _next(self) -> int:
        self._met += 1
        return self._met - 1


def dropped(x: Tensor, drops: Drops | None) -> Tensor:
    """``x`` itself where nothing is dropped."""
    return x if drops is None else drops.drop(x)
