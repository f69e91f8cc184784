"""The LSTM that Transformers are compared with (Kaplan et al. 2020, Fig. 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isoflop.kernels import reference as ops
from isoflop.shape import Shape
from isoflop.train.drops import Drops, dropped
from isoflop.train.language_model import LanguageModel
from isoflop.train.parametrisation import STANDARD, Parametrisation


class Cells(nn.Module):
    """One layer of d_model cells: gates i, f, g, o of the input and of the state, one bias for both."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.width = shape.d_model
        self.input = nn.Linear(shape.d_model, 4 * shape.d_model, bias=shape.bias)
        self.state = nn.Linear(shape.d_model, 4 * shape.d_model, bias=False)

    @torch.no_grad()
    def open_forget_gates(self) -> None:
        """Biases of forget gates 1 (Jozefowicz et al. 2015): cells begin by keeping what they hold."""
        if self.input.bias is not None:
            self.input.bias[self.width : 2 * self.width] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        begin = x.new_zeros(1, x.shape[0], self.width)
        weights, bias = [self.input.weight, self.state.weight], self.input.bias
        if bias is not None:
            weights += [bias, torch.zeros_like(bias)]
        return torch.lstm(x, (begin, begin), weights, bias is not None, 1, 0.0, self.training, False, True)[0]


class LSTM(LanguageModel):
    """``n_layer`` layers of cells over the embedded tokens; no norms.

    First values are drawn from ``generator``. Drops are those of what goes from layer to layer, not from step to step.
    Raises as :class:`LanguageModel` does.
    """

    def __init__(
        self,
        shape: Shape,
        generator: torch.Generator | None = None,
        *,
        parametrisation: Parametrisation = STANDARD,
    ) -> None:
        super().__init__(shape, parametrisation=parametrisation)
        layers = [Cells(shape) for _ in range(shape.n_layer)]
        self.layers = nn.ModuleList(layers)
        self.draw(generator)
        for cells in layers:
            cells.open_forget_gates()

    def stream(self, tokens: Tensor, drops: Drops | None = None) -> tuple[Tensor, list[Tensor]]:
        """The states of the last layer; there are no experts."""
        x = dropped(ops.embed(tokens, self.tokens), drops)
        for cells in self.layers:
            x = dropped(cells(x), drops)
        return x, []
