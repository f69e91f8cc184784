"""The decoder-only Transformer that a :class:`~isoflop.Shape` describes, in plain torch: the readable reference.

Pre-norm blocks: x += attention(norm(x)); x += mlp(norm(x)); a final norm; logits against the token table where tied.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from isoflop.kernels import reference as ops
from isoflop.shape import Shape
from isoflop.train.drops import Drops, dropped
from isoflop.train.language_model import LanguageModel
from isoflop.train.layers import Block, Norm
from isoflop.train.parametrisation import STANDARD, Parametrisation


class Transformer(LanguageModel):
    """The whole model; ``forward(tokens, targets)`` is the mean cross-entropy in nats/token.

    First values are drawn from ``generator``. Drops are, as in nanoGPT, those of the embedded tokens, of attention
    weights and of what each half of a block adds. Raises as :class:`LanguageModel` does.
    """

    def __init__(
        self,
        shape: Shape,
        generator: torch.Generator | None = None,
        *,
        parametrisation: Parametrisation = STANDARD,
    ) -> None:
        super().__init__(shape, parametrisation=parametrisation)
        self.blocks = nn.ModuleList(Block(shape, layer, parametrisation) for layer in range(shape.n_layer))
        self.norm = Norm(shape)
        self.draw(generator)

    def applied(self) -> Iterable[nn.Module]:
        """The blocks, in the order in which the stream passes them."""
        return self.blocks

    def stream(self, tokens: Tensor, drops: Drops | None = None) -> tuple[Tensor, list[Tensor]]:
        """The final normed residual stream, and the load-balancing losses of the experts on its way."""
        x = dropped(ops.embed(tokens, self.tokens, self.positions), drops)
        balances: list[Tensor] = []
        for block in self.applied():
            x, of_block = block(x, drops)
            balances += of_block
        return self.norm(x), balances
