"""What every model trained here has: tables of tokens, first values, and the loss of the next token."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from isoflop.kernels import reference as ops
from isoflop.kernels.gpt_parameters import first_value
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.shape import Shape
from isoflop.train.drops import Drops
from isoflop.train.footprint import LOGITS_AT_ONCE
from isoflop.train.parametrisation import STANDARD, Parametrisation
from isoflop.train.trainable import refuse_untrainable


class LanguageModel(nn.Module, ABC):
    """Token tables around a body that turns embedded tokens into a stream of width d_model.

    Its parameters number exactly ``shape.n_params``; ``isoflop.kernels.gpt_parameters.first_value`` draws them.

    Args:
        shape: the architecture.
        parametrisation: how first values and the forward pass change with width.

    Raises:
        ShapeError: a shape that no model here has.
    """

    def __init__(self, shape: Shape, *, parametrisation: Parametrisation = STANDARD) -> None:
        super().__init__()
        refuse_untrainable(shape)
        self.shape, self.parametrisation = shape, parametrisation
        self.tokens = nn.Parameter(torch.empty(shape.n_vocab, shape.d_model))
        learned = shape.position == "learned"
        self.positions = nn.Parameter(torch.empty(shape.n_ctx, shape.d_model)) if learned else None
        self.unembed = None if shape.tied_embeddings else nn.Parameter(torch.empty(shape.n_vocab, shape.d_model))

    @torch.no_grad()
    def draw(self, generator: torch.Generator | None) -> None:
        """Give every parameter its first value, in their order, from ``generator``."""
        for name, parameter in self.named_parameters():
            first_value(
                name, parameter, self.shape, generator, scale=self.parametrisation.std(kind_of(name), self.shape)
            )

    @abstractmethod
    def stream(self, tokens: Tensor, drops: Drops | None = None) -> tuple[Tensor, list[Tensor]]:
        """(batch, seq) int64 -> the stream (batch, seq, d_model), and load-balancing losses of experts on its way."""

    def hidden(self, tokens: Tensor, drops: Drops | None = None) -> Tensor:
        """The stream that logits are made from: (batch, seq) int64 -> (batch, seq, d_model)."""
        return self.stream(tokens, drops)[0]

    def forward(self, tokens: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
        """Cross-entropy in nats/token of ``targets`` (batch, seq) given ``tokens`` (batch, seq)."""
        return self._cross_entropy(self.hidden(tokens), targets, reduction=reduction)

    def hits(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Whether each of ``targets`` (batch, seq) is the likeliest given ``tokens`` (batch, seq): bool."""
        hidden, wanted = self.hidden(tokens).flatten(0, 1), targets.flatten()
        found, rows = torch.empty_like(wanted, dtype=torch.bool), max(1, LOGITS_AT_ONCE // self.shape.n_vocab)
        for start in range(0, len(wanted), rows):
            part = slice(start, start + rows)
            found[part] = ops.argmax_hits(hidden[part], self._table, wanted[part])
        return found.view(targets.shape)

    @property
    def _table(self) -> Tensor:
        return self.tokens if self.unembed is None else self.unembed

    def objective(
        self,
        tokens: Tensor,
        targets: Tensor,
        *,
        z_loss: float = 0.0,
        balance_loss: float = 0.0,
        drops: Drops | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What training lowers, and the mean cross-entropy in it, detached.

        The first has beside it ``z_loss`` times the mean of log(sum of exp(logits))^2 (Chowdhery et al. 2022, section
        5) and ``balance_loss`` times the load-balancing loss of every layer of experts.
        """
        stream, balances = self.stream(tokens, drops)
        lowered = entropy = self._cross_entropy(stream, targets)
        if z_loss:
            lowered = self._cross_entropy(stream, targets, z_loss=z_loss)
        for balance in balances:
            lowered = lowered + balance_loss * balance
        return lowered, entropy.detach()

    def _cross_entropy(
        self, stream: Tensor, targets: Tensor, *, reduction: str = "mean", z_loss: float = 0.0
    ) -> Tensor:
        multiplier = self.parametrisation.forward("output", self.shape)
        scaled = stream if multiplier == 1 else stream * multiplier
        return ops.linear_cross_entropy(scaled, self._table, targets, reduction=reduction, z_loss=z_loss)
