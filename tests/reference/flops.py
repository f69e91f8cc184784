"""What the C++ core must compute, in exact Python integers and written out plainly, one matrix at a time."""

from __future__ import annotations

from fractions import Fraction

from isoflop import Shape


def matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of every matrix of one block."""
    d, attn, kv = shape.d_model, shape.n_head * shape.d_head, shape.n_kv_head * shape.d_head
    gate = {"gate": (d, shape.d_ff)} if shape.activation == "swiglu" else {}
    mlp = gate | {"up": (d, shape.d_ff), "down": (shape.d_ff, d)}
    return {"query": (d, attn), "key": (d, kv), "value": (d, kv), "proj": (attn, d)} | mlp


def n_kaplan(shape: Shape) -> int:
    return shape.n_layer * sum(rows * columns for rows, columns in matrices(shape).values())


def n_embedding(shape: Shape) -> int:
    tables = [shape.n_vocab]
    if shape.position == "learned":
        tables.append(shape.n_ctx)
    if not shape.tied_embeddings:
        tables.append(shape.n_vocab)
    return sum(rows * shape.d_model for rows in tables)


def n_nonembedding(shape: Shape) -> int:
    biases = shape.n_layer * sum(outputs for _, outputs in matrices(shape).values()) if shape.bias else 0
    vectors_per_norm = 2 if shape.norm == "layer" and shape.bias else 1
    return n_kaplan(shape) + biases + (2 * shape.n_layer + 1) * vectors_per_norm * shape.d_model


def causal_pairs(seq: int) -> int:
    return sum(1 for query in range(seq) for key in range(seq) if key <= query)


def forward_terms(shape: Shape, batch: int, seq: int, pairs: Fraction | int) -> dict[str, Fraction]:
    """2 m k n of every matrix product; ``pairs`` is the number of query-key pairs a sequence."""
    tokens = batch * seq

    def linear(*names: str) -> Fraction:
        weights = sum(rows * columns for name, (rows, columns) in matrices(shape).items() if name in names)
        return Fraction(2 * tokens * shape.n_layer * weights)

    attention = Fraction(2 * batch * shape.n_layer * shape.n_head * shape.d_head) * pairs
    return {
        "qkv": linear("query", "key", "value"),
        "logits": attention,
        "values": attention,
        "proj": linear("proj"),
        "mlp": linear("gate", "up", "down"),
        "unembed": Fraction(2 * tokens * shape.d_model * shape.n_vocab),
    }


def training_flops(shape: Shape, convention: str, batch: int, seq: int) -> Fraction:
    """Forward and backward, the backward pass costing two forward passes."""
    tokens = batch * seq
    causal = seq * (seq + 1) // 2
    d_attn = shape.n_head * shape.d_head
    forward = {
        "kaplan-6n": lambda: 2 * tokens * n_kaplan(shape),
        "kaplan-table1": lambda: tokens * (2 * n_kaplan(shape) + 2 * shape.n_layer * seq * d_attn),
        "6n-total": lambda: 2 * tokens * (n_embedding(shape) + n_nonembedding(shape)),
        "exact": lambda: sum(forward_terms(shape, batch, seq, seq * seq).values()),
        "exact-causal": lambda: sum(forward_terms(shape, batch, seq, causal).values()),
    }
    return Fraction(3 * forward[convention]())
