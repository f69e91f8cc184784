"""The Universal Transformer (Dehghani et al. 2018): a decoder whose blocks are applied again and again."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from isoflop.train.model import Transformer


class UniversalTransformer(Transformer):
    """A Transformer whose blocks the stream passes ``shape.n_recurrence`` times (Kaplan et al. 2020, Fig. 17)."""

    def applied(self) -> Iterable[nn.Module]:
        """The blocks, ``n_recurrence`` times over."""
        return [*self.blocks] * (self.shape.n_recurrence or 1)
