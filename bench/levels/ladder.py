"""All levels by number: what each is called, and the call that does the work of K models."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from levels import epilogue, fused, models, naive, plain, prologue, shipped, tiles
from levels.task import Weights

MLP = Callable[[Tensor, Weights], Tensor]


class Level(NamedTuple):
    """Its function, for one model or, ``together``, for all of them at once."""

    name: str
    mlp: MLP
    together: bool = False

    def __call__(self, x: Tensor, weights: Weights) -> Tensor:
        """The MLP of the rows x (K, M, D) of K models."""
        if self.together:
            return self.mlp(x, weights)
        return torch.stack([self.mlp(x[k], weights.of(k)) for k in range(len(x))])


LEVELS = {
    1: Level("plain torch", plain.mlp),
    2: Level("naive product", naive.mlp),
    3: Level("tiles and tl.dot", tiles.mlp),
    4: Level("epilogue", epilogue.mlp),
    5: Level("norm in the prologue", prologue.mlp),
    6: Level("both products", fused.mlp),
    7: Level("model axis", models.mlp, together=True),
    8: Level("shipped table", shipped.mlp, together=True),
}
