"""What the C++ core must compute of memory, in Python integers and written out tensor by tensor."""

from __future__ import annotations

import math
from fractions import Fraction

from isoflop import Shape
from reference.flops import WITHOUT_BIAS, layers

STATES = {"mixed": (2, 2, 12), "mixed-fp32-gradients": (2, 4, 12), "fp32": (4, 4, 8), "bf16": (2, 2, 4)}


def up(value: int, parts: int) -> int:
    return -(-value // parts)


def is_mixture(shape: Shape, layer: int) -> bool:
    return shape.n_expert is not None and layer >= shape.n_dense_layer


def block_tensors(
    shape: Shape, layer: int, batch: int, seq: int, *, tp: int, flash: bool, dropout: bool
) -> list[tuple[str, int, int]]:
    """(whole, cut or routed; elements on one tensor-parallel device before sequence parallelism; bytes an element)."""
    tokens = batch * seq
    residual = tokens * shape.d_model
    tensors = [("whole", residual, 2) for _ in ("norm", "qkv input", "norm", "mlp input")]
    if dropout:
        tensors += [("whole", residual, 1) for _ in ("attention mask", "mlp mask")]
    heads, kv_heads = shape.n_head // tp, up(shape.n_kv_head, tp)
    if shape.kv_lora_rank is None:
        widths = [heads * shape.d_head, kv_heads * shape.d_head, kv_heads * shape.d_head, heads * shape.d_head]
    else:
        latents = [shape.kv_lora_rank, shape.q_lora_rank or 0]
        tensors += [("whole", tokens * rank, 2) for rank in latents for _ in ("norm", "linear")]
        wide = heads * (shape.d_head + (shape.d_rope or 0))
        widths = [wide, wide, heads * shape.d_value, heads * shape.d_value]
    tensors += [("cut", tokens * width, 2) for width in widths]
    hidden = 3 if shape.activation == "swiglu" else 2
    if is_mixture(shape, layer):
        places = math.ceil(Fraction(tokens * shape.top_k) * Fraction(shape.capacity_factor or 1))
        tensors += [("whole", tokens * shape.n_expert, 4)]
        tensors += [("routed", places * shape.d_model, 2) for _ in ("in", "out")]
        tensors += [("routed", places * shape.d_expert // tp, 2) for _ in range(hidden)]
        tensors += [("cut", tokens * shape.n_shared_expert * shape.d_expert // tp, 2) for _ in range(hidden)]
    else:
        tensors += [("cut", tokens * shape.d_ff // tp, 2) for _ in range(hidden)]
    if not flash:
        scores = batch * heads * seq * seq
        tensors += [("cut", scores, 2), *([("cut", scores, 1), ("cut", scores, 2)] if dropout else [])]
    return tensors


def block_activations(
    shape: Shape,
    layer: int,
    batch: int,
    seq: int,
    *,
    tp: int,
    sequence_parallel: bool,
    recompute: str,
    flash: bool,
    dropout: bool,
) -> int:
    if recompute == "full":
        return 2 * batch * seq * shape.d_model
    flash = flash or recompute == "attention"
    tensors = block_tensors(shape, layer, batch, seq, tp=tp, flash=flash, dropout=dropout)
    whole = sum(elements * size for kind, elements, size in tensors if kind == "whole")
    rest = sum(elements * size for kind, elements, size in tensors if kind != "whole")
    return rest + (up(whole, tp) if sequence_parallel else whole)


COLUMNS = (
    "query",
    "key up",
    "value up",
    "query up",
    "gate",
    "up",
    "routed gate",
    "routed up",
    "shared gate",
    "shared up",
)
ROWS = ("proj", "down", "routed down", "shared down")


def block_params(shape: Shape, layer: int, tp: int) -> int:
    """Matrices and biases of one block, cut tp ways, and its norms; ``join`` where it is a prediction module's."""
    total = 0
    for name, matrix in layers(shape)[layer].items():
        rows, columns = matrix.inputs, matrix.outputs
        if name in COLUMNS:
            columns //= tp
        elif name in ROWS:
            rows //= tp
        elif name in ("key", "value"):
            columns = up(shape.n_kv_head, tp) * shape.d_head
        biases = columns if shape.bias and name not in WITHOUT_BIAS else 0
        total += matrix.count * (rows * columns + biases)
    latents = (shape.kv_lora_rank or 0) + (shape.q_lora_rank or 0)
    return total + norm_params(shape, 2 * shape.d_model + latents)


def norm_params(shape: Shape, width: int) -> int:
    return width * (2 if shape.norm == "layer" and shape.bias else 1)


def stage_layers(shape: Shape, pp: int) -> list[list[int]]:
    """Layers of every stage in order, the first stages one more, prediction modules on the last."""
    left, found = list(range(shape.n_layer)), []
    for stage in range(pp):
        count = up(len(left), pp - stage)
        found.append(left[:count])
        left = left[count:]
    found[-1] += range(shape.n_layer, shape.n_layer + shape.n_predict)
    return found


def stages(
    shape: Shape,
    batch: int,
    seq: int,
    *,
    state: str,
    dp: int,
    tp: int,
    pp: int,
    zero: int,
    microbatches: int,
    sequence_parallel: bool,
    recompute: str,
    flash: bool,
    dropout: bool,
) -> list[dict[str, int]]:
    """Bytes by part of every pipeline stage."""
    how = {"tp": tp, "sequence_parallel": sequence_parallel, "flash": flash, "dropout": dropout}
    parameter, gradient, optimizer = STATES[state]
    table = up(shape.n_vocab, tp) * shape.d_model
    positions = shape.n_ctx * shape.d_model if shape.position == "learned" else 0
    residual = batch * seq * shape.d_model
    found = []
    for stage, held in enumerate(stage_layers(shape, pp)):
        first, last = stage == 0, stage == pp - 1
        modules = [layer for layer in held if layer >= shape.n_layer]
        join = 2 * shape.d_model**2
        blocks = [block_params(shape, layer, tp) - (join if layer in modules else 0) for layer in held]
        tables = [table + positions if first else 0, table if last and (not shape.tied_embeddings or pp > 1) else 0]
        count = sum(blocks) + sum(tables) + len(modules) * (join + norm_params(shape, 3 * shape.d_model))
        count += norm_params(shape, shape.d_model) if last else 0
        mask = residual if first and dropout else 0
        head = up(4 * residual, tp) if sequence_parallel else 4 * residual
        kept = sum(block_activations(shape, layer, batch, seq, recompute=recompute, **how) for layer in held)
        kept = kept * (shape.n_recurrence or 1) + (up(mask, tp) if sequence_parallel else mask)
        again = [block_activations(shape, layer, batch, seq, recompute="none", **how) for layer in held]
        found.append(
            {
                "parameters": up(parameter * count, dp if zero >= 3 else 1),
                "gradients": up(gradient * count, dp if zero >= 2 else 1),
                "optimizer": up(optimizer * count, dp if zero >= 1 else 1),
                "gathered": 2 * max(blocks + tables) * parameter if zero == 3 and dp > 1 else 0,
                "activations": min(microbatches, pp - stage) * kept,
                "recomputed": max(again) if recompute == "full" else 0,
                "head": (1 + shape.n_predict) * (head + 4 * batch * seq * up(shape.n_vocab, tp)) if last else 0,
                "cache": 0,
            }
        )
    return found


def cached_values(shape: Shape, seq: int, tp: int) -> int:
    """Numbers that one device caches of one sequence, all layers on it."""
    if shape.architecture == "encoder":
        return 0
    total = 0
    for layer in range(1, shape.n_layer + shape.n_predict + 1):
        local = shape.window is not None and (shape.global_every == 0 or layer % shape.global_every)
        tokens = min(seq, shape.window) if local else seq
        if shape.kv_lora_rank is None:
            total += tokens * 2 * up(shape.n_kv_head, tp) * shape.d_head
        else:
            total += tokens * (shape.kv_lora_rank + (shape.d_rope or 0))
    return total * (shape.n_recurrence or 1)
