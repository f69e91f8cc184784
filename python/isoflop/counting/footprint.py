"""Memory of one device while a shape is trained or served, by named part, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Unpack, get_args

from isoflop import _core
from isoflop.counting.layout import Layout, Split, checked_layout, whole
from isoflop.counting.terms import flops
from isoflop.errors import SpecError, nearest
from isoflop.hardware import Device, device
from isoflop.shape import Shape

Recompute = Literal["none", "attention", "full"]

STATES: Mapping[str, _core.State] = MappingProxyType({state.name: state for state in _core.STATES})
"""Bytes a parameter costs, by name of the convention: mixed (16), mixed-fp32-gradients (18), fp32 (16), bf16 (8)."""

_KEEP = {
    "none": _core.Keep.EVERYTHING,
    "attention": _core.Keep.OUTSIDE_ATTENTION,
    "full": _core.Keep.LAYER_INPUTS,
}


@dataclass(frozen=True)
class Memory:
    """Bytes on one device of the pipeline stage that needs most.

    Attributes:
        parameters: weights as they are computed with.
        gradients: of all of them.
        optimizer: master copy and moments.
        gathered: ZeRO-3's two units (a block or a table) with all their parameters: one in use, one being fetched.
        activations: of blocks and the embedding, kept for the backward pass of all microbatches in flight.
        recomputed: one block's activations while it is run again, with ``recompute="full"``.
        head: inputs of the final norm and the unembedding, and fp32 logits, on the last stage.
        cache: keys and values, or an LSTM's states, in serving.
        stage: which pipeline stage this is, from 0.
    """

    parameters: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int
    recomputed: int
    head: int
    cache: int
    stage: int
    total: int

    @property
    def parts(self) -> Mapping[str, int]:
        """Bytes by name; they add up to ``total``."""
        names = (name for name in self.__dataclass_fields__ if name not in ("stage", "total"))
        return MappingProxyType({name: getattr(self, name) for name in names})

    def fits(self, on: str | Device, *, reserve: float = 0.0) -> bool:
        """Whether this fits a device that keeps the fraction ``reserve`` of its memory for other things."""
        return self.total <= capacity(on, reserve)


def memory(
    shape: Shape,
    *,
    batch: int = 1,
    seq: int | None = None,
    state: str = "mixed",
    recompute: Recompute = "none",
    flash: bool = True,
    dropout: bool = True,
    activation_bytes: int = 2,
    **layout: Unpack[Layout],
) -> Memory:
    """Bytes on one device in training.

    Activations are those of Korthikanti et al. 2022 ("Reducing activation recomputation in large transformer models",
    eqs. 1-5), generalised to grouped queries and gated MLPs, in 2 bytes an element: for a GELU block
    s b h (34 + 5 a s / h) bytes, 34 s b h with flash attention; without dropout 32 and 2 instead of 34 and 5. A ViT is
    such an encoder: it keeps its patches too, and classifies one position of an image. An LSTM's layer keeps gates,
    cells and states, 6 elements of d_model a token, which is what its gradients are products of; with dropout, of what
    goes into layers and the unembedding alone (Zaremba et al. 2014), another and a mask.

    State is sharded as in ZeRO (Rajbhandari et al. 2020). With expert parallelism a device holds n_expert / ep routed
    experts, and ZeRO shares those out among their dp / ep copies (Rajbhandari et al. 2022, DeepSpeed-MoE); it works on
    as many routed tokens as without, routing balanced. Temporary buffers of kernels and collectives, and what an
    allocator loses to fragments, are not counted.

    Args:
        shape: a model.
        batch: sequences of one microbatch of one replica.
        seq: tokens of a sequence; default the shape's n_ctx.
        state: bytes a parameter costs, a name of :data:`STATES`.
        recompute: "none"; "attention", the selective recompute of that paper; "full", each block from its input.
        flash: attention never writes its s^2 matrices.
        dropout: keep masks, one byte an element.
        activation_bytes: of an element; 4 where products are made in fp32.
        layout: dp, tp, pp, ep, zero, microbatches, sequence_parallel: a :class:`~isoflop.counting.layout.Layout`.

    Raises:
        ShapeError: ``batch`` or ``seq`` is out of its domain.
        SpecError: the layout does not divide the shape, or an unknown option, state or recompute.
        OverflowError: more than 2**63 bytes.
    """
    counted = flops(shape, batch=batch, seq=seq)
    laid_out = checked_layout(shape, layout)
    kept = checked_activations(recompute, flash, dropout, activation_bytes)
    core = _core.training_memory(shape.core, laid_out, known_state(state), counted.batch, counted.seq, kept)
    return Memory(**core)


def serving_memory(
    shape: Shape,
    *,
    batch: int = 1,
    seq: int | None = None,
    parameter_bytes: int = 2,
    cache_bytes: int = 2,
    **split: Unpack[Split],
) -> Memory:
    """Bytes on one device in serving: weights, keys and values of a replica's ``batch`` sequences of ``seq`` tokens.

    The cache is 2 n_layer n_kv_head d_head values a token, in local layers of the window alone; with latent attention
    n_layer (kv_lora_rank + d_rope), on every tensor-parallel device; of an LSTM 2 n_layer d_model a sequence.
    ``split``: dp, tp, pp, ep, a :class:`~isoflop.counting.layout.Split`. Raises as :func:`memory` does.
    """
    counted = flops(shape, batch=batch, seq=seq)
    laid_out = checked_layout(shape, split, allowed=Split)
    widths = whole("parameter_bytes", parameter_bytes), whole("cache_bytes", cache_bytes)
    return Memory(**_core.serving_memory(shape.core, laid_out, widths[0], counted.batch, counted.seq, widths[1]))


def largest_batch(
    shape: Shape,
    on: str | Device,
    *,
    reserve: float = 0.1,
    seq: int | None = None,
    state: str = "mixed",
    recompute: Recompute = "none",
    flash: bool = True,
    dropout: bool = True,
    activation_bytes: int = 2,
    **layout: Unpack[Layout],
) -> int:
    """The most sequences of one microbatch that fit a device; 0 where not even one does.

    Args:
        shape: a model.
        on: a device, or its name.
        reserve: fraction of its memory left for buffers, fragments and the driver.
        seq, state, recompute, flash, dropout, activation_bytes, layout: as for :func:`memory`.

    Raises:
        SpecError: an unknown device, ``reserve`` outside [0, 1), or what :func:`memory` raises.
    """
    tokens = flops(shape, seq=seq).seq
    laid_out = checked_layout(shape, layout)
    kept = checked_activations(recompute, flash, dropout, activation_bytes)
    room = capacity(on, reserve)
    return _core.largest_training_batch(shape.core, laid_out, known_state(state), tokens, kept, room)


def largest_serving_batch(
    shape: Shape,
    on: str | Device,
    *,
    reserve: float = 0.1,
    seq: int | None = None,
    parameter_bytes: int = 2,
    cache_bytes: int = 2,
    **split: Unpack[Split],
) -> int:
    """The most sequences of ``seq`` tokens whose cache fits beside the weights; 0 where not even one does.

    Arguments and errors are those of :func:`serving_memory` and :func:`largest_batch`.
    """
    laid_out = checked_layout(shape, split, allowed=Split)
    widths = whole("parameter_bytes", parameter_bytes), whole("cache_bytes", cache_bytes)
    tokens = flops(shape, seq=seq).seq
    return _core.largest_serving_batch(shape.core, laid_out, widths[0], tokens, widths[1], capacity(on, reserve))


def capacity(on: str | Device, reserve: float) -> int:
    """Bytes of a device but the fraction ``reserve``."""
    if not is_real(reserve) or not 0 <= reserve < 1:
        raise SpecError(f"reserve is {reserve!r}; it must be a fraction from 0 to below 1")
    return int(device(on).memory * (1 - reserve))


def checked_activations(recompute: str, flash: bool, dropout: bool, element: int = 2) -> _core.Activations:
    """What is kept, for the C++ core, in so many bytes an ``element``.

    Raises:
        SpecError: an unknown ``recompute``, or no such number of bytes.
    """
    if recompute not in _KEEP:
        raise SpecError(f"unknown recompute {recompute!r}", hint=nearest(str(recompute), get_args(Recompute)))
    element = whole("activation_bytes", element)
    return _core.Activations(keep=_KEEP[recompute], flash=bool(flash), dropout=bool(dropout), bytes=element)


def is_real(value: object) -> bool:
    """Whether this is a number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def known_state(state: str) -> str:
    """``state``, which is a key of :data:`STATES`. Raises SpecError where it is not."""
    if state not in STATES:
        raise SpecError(f"unknown training state {state!r}", hint=nearest(str(state), STATES))
    return state
