"""``isoflop::embed``: rows of the token table, plus learned positions."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels import embed as launcher
from isoflop.kernels import embed_backward
from isoflop.kernels.operators.boundary import Operator, absent


def _embed(tokens: Tensor, token_table: Tensor, position_table: Tensor | None) -> Tensor:
    return launcher.forward(tokens, token_table, position_table)


def _embed_backward(
    dy: Tensor, tokens: Tensor, token_table: Tensor, position_table: Tensor | None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    positions = None if position_table is None else position_table.shape[1]
    made = embed_backward.backward(dy, tokens, n_vocab=token_table.shape[1], n_positions=positions)
    return made.dtoken_table, absent(dy) if made.dposition_table is None else made.dposition_table


_EMBED = Operator(
    "embed", _embed, _embed_backward, results=("y",),
    fake=lambda tokens, token_table, position_table: token_table.new_empty(*tokens.shape, token_table.shape[-1]),
    gradients={"token_table": "token_table", "position_table": "position_table"},
    costs=(
        lambda tokens, table, positions: (0, tokens.numel() * table.shape[-1] * (positions is not None)),
        lambda dy, tokens, table, positions: (0, dy.numel() * (1 + (positions is not None))),
    ),
)  # fmt: skip


def embed(tokens: Tensor, token_table: Tensor, position_table: Tensor | None = None) -> Tensor:
    """Rows of ``token_table`` (K, V, D), plus ``position_table`` (K, P, D), for tokens (K, B, T): (K, B, T, D).

    Differentiable by the tables. Raises KernelError as :func:`isoflop.kernels.embed.forward` does.
    """
    return _EMBED(tokens, token_table, position_table)[0]
