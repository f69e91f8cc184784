"""What the C++ core must compute, in exact Python integers and written out plainly, one matrix at a time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from isoflop import Shape


@dataclass(frozen=True)
class Matrix:
    """``count`` matrices of (inputs, outputs) in one layer, of which a token uses ``active``."""

    inputs: int
    outputs: int
    count: int = 1
    active: int = 1

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs


def attention_matrices(shape: Shape) -> dict[str, Matrix]:
    d, heads = shape.d_model, shape.n_head
    if shape.kv_lora_rank is None:
        attn, kv = heads * shape.d_head, shape.n_kv_head * shape.d_head
        return {"query": Matrix(d, attn), "key": Matrix(d, kv), "value": Matrix(d, kv), "proj": Matrix(attn, d)}
    rope = shape.d_rope or 0
    matrices = {
        "key and value down": Matrix(d, shape.kv_lora_rank),
        "rotary key": Matrix(d, rope),
        "key up": Matrix(shape.kv_lora_rank, heads * shape.d_head),
        "value up": Matrix(shape.kv_lora_rank, heads * shape.d_value),
        "proj": Matrix(heads * shape.d_value, d),
    }
    wide = heads * (shape.d_head + rope)
    if shape.q_lora_rank is None:
        return matrices | {"query": Matrix(d, wide)}
    return matrices | {"query down": Matrix(d, shape.q_lora_rank), "query up": Matrix(shape.q_lora_rank, wide)}


def mlp_matrices(shape: Shape, hidden: int, count: int = 1, active: int = 1) -> dict[str, Matrix]:
    ins = ("gate", "up") if shape.activation == "swiglu" else ("up",)
    matrices = {name: Matrix(shape.d_model, hidden, count, active) for name in ins}
    return matrices | {"down": Matrix(hidden, shape.d_model, count, active)}


def layers(shape: Shape) -> list[dict[str, Matrix]]:
    """The matrices of every layer, prediction modules last; ``router`` and ``join`` have no bias."""
    every = []
    for layer in range(shape.n_layer + shape.n_predict):
        matrices = attention_matrices(shape)
        if shape.n_expert is not None and layer >= shape.n_dense_layer:
            routed = mlp_matrices(shape, shape.d_expert, shape.n_expert, shape.top_k)
            shared = mlp_matrices(shape, shape.d_expert, shape.n_shared_expert, shape.n_shared_expert)
            matrices |= {f"routed {name}": matrix for name, matrix in routed.items()}
            matrices |= {f"shared {name}": matrix for name, matrix in shared.items()}
            matrices["router"] = Matrix(shape.d_model, shape.n_expert)
        else:
            matrices |= mlp_matrices(shape, shape.d_ff)
        if layer >= shape.n_layer:
            matrices["join"] = Matrix(2 * shape.d_model, shape.d_model)
        if shape.architecture == "lstm":
            matrices = {"input gates": Matrix(shape.d_model, 4 * shape.d_model)}
            matrices["state gates"] = Matrix(shape.d_model, 4 * shape.d_model)
        every.append(matrices)
    return every


WITHOUT_BIAS = ("router", "join", "state gates")


def n_kaplan(shape: Shape) -> int:
    return sum(matrix.count * matrix.weights for layer in layers(shape) for matrix in layer.values())


def n_embedding(shape: Shape) -> int:
    d = shape.d_model
    positions = shape.n_ctx * d if shape.position == "learned" else 0
    if shape.architecture == "vit":
        patch = shape.channels * shape.patch**2 * d + (d if shape.bias else 0)
        head = d * shape.n_class + (shape.n_class if shape.bias else 0)
        return patch + positions + head + (d if shape.class_token else 0)
    return positions + shape.n_vocab * d * (1 if shape.tied_embeddings else 2)


def n_norms(shape: Shape) -> int:
    """Numbers in all norms."""
    if shape.architecture == "lstm":
        return 0
    widths = [shape.d_model]
    for layer in range(shape.n_layer + shape.n_predict):
        widths += [shape.d_model] * (5 if layer >= shape.n_layer else 2)
        widths += [rank for rank in (shape.kv_lora_rank, shape.q_lora_rank) if rank is not None]
    return sum(widths) * (2 if shape.norm == "layer" and shape.bias else 1)


def n_nonembedding(shape: Shape, *, active: bool = False) -> int:
    total = n_norms(shape)
    for layer in layers(shape):
        for name, matrix in layer.items():
            biases = matrix.outputs if shape.bias and name not in WITHOUT_BIAS else 0
            total += (matrix.active if active else matrix.count) * (matrix.weights + biases)
    return total


def matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of every matrix of one block of a plain decoder."""
    return {name: (matrix.inputs, matrix.outputs) for name, matrix in layers(shape)[0].items()}


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
