"""The parameters of a decoder of a shape, their names and sizes, and which of its layers has what; without torch.

Names are those of ``isoflop.train.model.Transformer.state_dict()``; together they hold ``shape.n_params`` numbers.
"""

from __future__ import annotations

from isoflop.errors import KernelError
from isoflop.shape import Shape
from isoflop.shape.fields import OF_EXPERTS, OPTIONAL

WIDEST_HEAD = 256  # channels that attention in Triton takes
_TRAINED = ("window", "global_every", *OF_EXPERTS)  # beyond the fields that every decoder has


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

    def add_mlp(name: str, hidden: int, *count: int) -> None:
        for part, size in (("fc", (halves * hidden, width)), ("proj", (width, hidden))):
            sizes[f"{name}.{part}.weight"] = (*count, *size)
            if shape.bias:
                sizes[f"{name}.{part}.bias"] = (*count, size[0])

    def add_experts(name: str) -> None:
        assert shape.n_expert is not None
        assert shape.d_expert is not None
        sizes[f"{name}.router"] = (shape.n_expert, width)
        add_mlp(f"{name}.routed", shape.d_expert, shape.n_expert)
        if shape.n_shared_expert:
            add_mlp(f"{name}.shared", shape.d_expert, shape.n_shared_expert)

    for layer in range(shape.n_layer):
        add_norm(f"blocks.{layer}.norm1")
        add_linear(f"blocks.{layer}.attention.qkv", queries + 2 * shape.n_kv_head * shape.d_head, width)
        add_linear(f"blocks.{layer}.attention.proj", width, queries)
        add_norm(f"blocks.{layer}.norm2")
        if is_mixture(shape, layer):
            add_experts(f"blocks.{layer}.mlp")
        else:
            add_mlp(f"blocks.{layer}.mlp", shape.d_ff)
    add_norm("norm")
    return sizes


def is_mixture(shape: Shape, layer: int) -> bool:
    """Whether ``layer``, counted from 0, has experts in the place of one MLP."""
    return shape.n_expert is not None and layer >= shape.n_dense_layer


def window_of(shape: Shape, layer: int) -> int | None:
    """The window of attention in ``layer``, counted from 0: None where it sees everything, as every n-th may."""
    return None if shape.global_every and (layer + 1) % shape.global_every == 0 else shape.window


def refuse_shape(shape: Shape) -> None:
    """Raise KernelError for all but decoders, and for heads wider than attention in Triton takes."""
    used = [name for name, unused in OPTIONAL.items() if name not in _TRAINED and getattr(shape, name) != unused]
    if used:
        named = ", ".join(f"{name} = {getattr(shape, name)!r}" for name in used)
        raise KernelError(f"this engine trains no shape with {named}", hint=f"leave {', '.join(used)} out")
    if shape.d_head > WIDEST_HEAD:
        raise KernelError(f"heads of {shape.d_head} channels; attention in Triton takes {WIDEST_HEAD} at most")
