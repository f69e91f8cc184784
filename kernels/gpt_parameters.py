"""The first values of the parameters of a decoder of a shape, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isoflop.kernels.parameter_kinds import kind_of
from isoflop.kernels.parameter_sizes import parameter_sizes
from isoflop.shape import Shape


def first_value(
    name: str, parameter: Tensor, shape: Shape, generator: torch.Generator | None, *, scale: float = 1.0
) -> None:
    """Fill the ``parameter`` of one model in place, drawing from ``generator``.

    Normal, standard deviation 1/sqrt(fan_in) for matrices, divided by sqrt(2 n_layer) where they write to the residual
    stream (GPT-2, section 2.3), as often as they do; 1/sqrt(d_model) for tables, so that logits start with unit scale
    at every width; biases zero, gains one. All but the last two times ``scale``.
    """
    if kind_of(name) == "vector":
        parameter.fill_(1.0 if name.endswith("gain") else 0.0)
        return
    if name.endswith("proj.weight"):
        scale /= math.sqrt(2 * shape.n_layer * (shape.n_recurrence or 1))
    parameter.normal_(0.0, scale / math.sqrt(parameter.shape[-1]), generator=generator)


def first_values(
    shape: Shape, seeds: Sequence[int], *, scale: Callable[[str], float] = lambda name: 1.0
) -> dict[str, Tensor]:
    """Parameters (K, ...), float32 on the host, of K = len(seeds) models, each drawn from its own seed.

    ``scale`` of a parameter's name multiplies its standard deviation.
    """
    sizes = parameter_sizes(shape)
    made = {name: torch.empty(len(seeds), *size) for name, size in sizes.items()}
    for model, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in made.items():
            first_value(name, parameter[model], shape, generator, scale=scale(name))
    return made
