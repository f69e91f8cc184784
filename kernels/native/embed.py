"""Embedding of tokens, plus that of their positions, forward and backward; see ``csrc/ops/embed.cpp``."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import check


def forward(
    tokens: Tensor, token_table: Tensor, position_table: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Rows of ``token_table`` (K, V, D), plus ``position_table`` (K, P, D), for tokens (K, B, T) int64: (K, B, T, D).

    The row of a token out of range is NaN. ``out`` is written where given. Raises KernelError for tensors that
    ``signatures.check`` refuses or that are not float32 on the host, and for more tokens in a row than positions.
    """
    sizes = check("embed", tokens=tokens, token_table=token_table, position_table=position_table)
    refuse_device("embed", token_table)
    seq, positions = sizes["T"], sizes.get("P", sizes["T"])
    if seq > positions:
        raise KernelError(f"embed: {seq} tokens in a row, and {positions} positions in position_table")
    size = (*tokens.shape, sizes["D"]), token_table.dtype
    y: Tensor = buffers("embed", tokens.device, None if out is None else [out], y=size)[0]
    call("embed", [tokens, token_table, position_table, y], [sizes[axis] for axis in "BTVD"])
    return y


class Gradients(NamedTuple):
    """Of the token table (K, V, D) and the position table (K, P, D)."""

    dtoken_table: Tensor
    dposition_table: Tensor | None


def backward(
    dy: Tensor, tokens: Tensor, *, n_vocab: int, n_positions: int | None = None, onto: Tensor | None = None,
    out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients of tables of ``n_vocab`` and ``n_positions`` rows (none where None) from dy (K, B, T, D).

    Args:
        onto: (K, n_vocab, D), added to the gradient of the token table: a tied unembedding's. It may be the
            ``dtoken_table`` of ``out``, which is then added to, whether gradients are accumulated or not.
        out: what an earlier call of these sizes gave, to be written again.

    Tokens out of range count nowhere. Raises KernelError as :func:`forward` does.
    """
    sizes = check("embed_backward", dy=dy, tokens=tokens, onto=onto)
    refuse_device("embed", dy)
    models, batch, seq, width = (sizes[axis] for axis in "KBTD")
    if sizes.get("V", n_vocab) != n_vocab:
        raise KernelError(f"embed: onto has {sizes['V']} rows, n_vocab is {n_vocab}")
    if seq > (n_positions or seq):
        raise KernelError(f"embed: {seq} tokens in a row, and n_positions is {n_positions}")
    made = Gradients(*buffers(
        "embed", dy.device, out, dtoken_table=((models, n_vocab, width), dy.dtype),
        dposition_table=None if n_positions is None else ((models, n_positions, width), dy.dtype),
    ))  # fmt: skip
    call("embed_backward", [dy, tokens, onto, *made], [batch, seq, n_vocab, n_positions or 0, width])
    return made
