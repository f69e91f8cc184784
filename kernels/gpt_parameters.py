"""The parameters of a decoder of a shape: their names, sizes and first values, in plain torch.

Names are those of ``isoflop.train.model.Transformer.state_dict()``; together they hold ``shape.n_params`` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.shape import Shape
from isoflop.shape.fields import OPTIONAL

WIDEST_HEAD = 256  # channels that attention in Triton takes
_TRAINED = ("window", "global_every")  # beyond the fields that every decoder has


def parameter_sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The size of each parameter of one model, by name, in the order in which first values are drawn."""
    width, queries = shape.d_model, shape.n_head * shape.d_head
    table, halves = (shape.n_vocab, width), 2 if shape.activation == "swiglu" else 1
    sizes: dict[str, tuple[int, ...]] = {"tokens": table}
    if shape.position == "learned":
        sizes["positions"] = (shape.n_ctx, width)
    if not shape.tied_embeddings:
        sizes["unembed"] = table

    def add_norm(name: str) -> None:
        sizes[f"{name}.gain"] = (width,)
        if shape.bias and shape.norm == "layer":
            sizes[f"{name}.bias"] = (width,)

    def add_linear(name: str, outputs: int, inputs: int) -> None:
        sizes[f"{name}.weight"] = (outputs, inputs)
        if shape.bias:
            sizes[f"{name}.bias"] = (outputs,)

    for layer in range(shape.n_layer):
        add_norm(f"blocks.{layer}.norm1")
        add_linear(f"blocks.{layer}.attention.qkv", queries + 2 * shape.n_kv_head * shape.d_head, width)
        add_linear(f"blocks.{layer}.attention.proj", width, queries)
        add_norm(f"blocks.{layer}.norm2")
        add_linear(f"blocks.{layer}.mlp.fc", halves * shape.d_ff, width)
        add_linear(f"blocks.{layer}.mlp.proj", width, shape.d_ff)
    add_norm("norm")
    return sizes


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


def window_of(shape: Shape, layer: int) -> int | None:
    """The window of attention in ``layer``, counted from 0: None where it sees everything, as every n-th may."""
    return None if shape.global_every and (layer + 1) % shape.global_every == 0 else shape.window


def refuse_shape(shape: Shape) -> None:
    """Raise KernelError for all but decoders of dense blocks, and for heads wider than attention in Triton takes."""
    used = [name for name, unused in OPTIONAL.items() if name not in _TRAINED and getattr(shape, name) != unused]
    if used:
        named = ", ".join(f"{name} = {getattr(shape, name)!r}" for name in used)
        raise KernelError(f"no kernels train a shape with {named}", hint=f"leave {', '.join(used)} out")
    if shape.d_head > WIDEST_HEAD:
        raise KernelError(f"heads of {shape.d_head} channels; attention in Triton takes {WIDEST_HEAD} at most")
