"""A tiny decoder, the tokens it is trained on, and what every adapter's run has to say of it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

import isoflop as iso
from isoflop.runs import RunRecord, RunStore

SEQ, VOCAB, D, LAYERS, HEADS = 16, 32, 8, 2, 2
SHAPE = iso.Shape(n_layer=LAYERS, d_model=D, n_head=HEADS, n_ctx=SEQ, n_vocab=VOCAB, tied_embeddings=False)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.mlp = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D))

    def forward(self, x: Tensor) -> Tensor:
        batch, seq, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, seq, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, seq, D))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """GPT-2's block, its unembedding not tied."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(n_layer=LAYERS, n_head=HEADS, n_embd=D, block_size=SEQ, vocab_size=VOCAB)
        self.tokens, self.positions = nn.Embedding(VOCAB, D), nn.Embedding(SEQ, D)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, VOCAB, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        logits: Tensor = self.head(self.norm(self.blocks(x)))
        return logits


def loss_of(model: nn.Module, ids: Tensor) -> Tensor:
    logits = model(ids)
    return nn.functional.cross_entropy(logits[:, :-1].reshape(-1, VOCAB), ids[:, 1:].reshape(-1))


def tokens(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, VOCAB, (rows, SEQ), generator=generator)


def only(store: RunStore) -> RunRecord:
    (record,) = store
    return record


def check_counts(record: RunRecord, total_tokens: int) -> None:
    """Those of the shape, by isoflop's own arithmetic."""
    counts = record.counts
    assert counts["N"] == SHAPE.n_nonembedding
    assert counts["n_params"] == SHAPE.n_params
    assert counts["n_embedding"] + counts["n_unembedding"] == SHAPE.n_embedding
    assert counts["D"] == total_tokens
    assert counts["C"] == 6.0 * SHAPE.n_nonembedding * total_tokens
    exact = iso.flops(SHAPE, seq=SEQ).total("exact-causal") / SEQ * total_tokens
    assert counts["C_traced"] == exact
    assert record.environment["n_convention"] == "non-embedding"
    assert record.spec["shape"]["d_model"] == D
