"""What the C++ core must compute of memory, in Python integers and written out tensor by tensor."""

from __future__ import annotations

from isoflop import Shape
from reference.flops import matrices

STATES = {"mixed": (2, 2, 12), "mixed-fp32-gradients": (2, 4, 12), "fp32": (4, 4, 8), "bf16": (2, 2, 4)}


def up(value: int, parts: int) -> int:
    return -(-value // parts)


def block_tensors(shape: Shape, batch: int, seq: int, *, flash: bool, dropout: bool) -> list[tuple[str, int, int]]:
    """(whole or cut, elements of one tensor-parallel device before sequence parallelism, bytes an element)."""
    tokens = batch * seq
    residual = tokens * shape.d_model
    tensors = [("whole", residual, 2) for _ in ("norm", "qkv input", "norm", "mlp input")]
    if dropout:
        tensors += [("whole", residual, 1) for _ in ("attention mask", "mlp mask")]
    query = tokens * shape.n_head * shape.d_head
    key = tokens * shape.n_kv_head * shape.d_head
    tensors += [("heads", query, 2), ("kv heads", key, 2), ("kv heads", key, 2), ("heads", query, 2)]
    hidden = 3 if shape.activation == "swiglu" else 2
    tensors += [("hidden", tokens * shape.d_ff, 2) for _ in range(hidden)]
    if not flash:
        scores = batch * shape.n_head * seq * seq
        tensors += [("heads", scores, 2), *([("heads", scores, 1), ("heads", scores, 2)] if dropout else [])]
    return tensors


def block_activations(
    shape: Shape,
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
    whole = cut = 0
    for kind, elements, size in block_tensors(shape, batch, seq, flash=flash, dropout=dropout):
        if kind == "whole":
            whole += elements * size
        elif kind == "kv heads":
            cut += elements // shape.n_kv_head * up(shape.n_kv_head, tp) * size
        else:
            cut += elements // tp * size
    return cut + (up(whole, tp) if sequence_parallel else whole)


def block_params(shape: Shape, tp: int) -> int:
    kv = up(shape.n_kv_head, tp) * shape.d_head
    total = 0
    for name, (rows, columns) in matrices(shape).items():
        if name in ("key", "value"):
            total += rows * kv + (kv if shape.bias else 0)
        elif name in ("proj", "down"):
            total += rows // tp * columns + (columns if shape.bias else 0)
        else:
            total += rows * (columns // tp) + (columns // tp if shape.bias else 0)
    return total + 2 * norm_params(shape)


def norm_params(shape: Shape) -> int:
    return shape.d_model * (2 if shape.norm == "layer" and shape.bias else 1)


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
    for stage in range(pp):
        layers = len(range(stage, shape.n_layer, pp))
        units = [block_params(shape, tp)]
        count = layers * units[0]
        if stage == 0:
            units.append(table + positions)
            count += units[-1]
        if stage == pp - 1:
            count += norm_params(shape)
            if not shape.tied_embeddings or pp > 1:
                units.append(table)
                count += table
        mask = residual if stage == 0 and dropout else 0
        head = up(4 * residual, tp) if sequence_parallel else 4 * residual
        kept = layers * block_activations(shape, batch, seq, recompute=recompute, **how)
        kept += up(mask, tp) if sequence_parallel else mask
        found.append(
            {
                "parameters": up(parameter * count, dp if zero >= 3 else 1),
                "gradients": up(gradient * count, dp if zero >= 2 else 1),
                "optimizer": up(optimizer * count, dp if zero >= 1 else 1),
                "gathered": 2 * max(units) * parameter if zero == 3 and dp > 1 else 0,
                "activations": min(microbatches, pp - stage) * kept,
                "recomputed": block_activations(shape, batch, seq, recompute="none", **how)
                if recompute == "full"
                else 0,
                "head": head + 4 * batch * seq * up(shape.n_vocab, tp) if stage == pp - 1 else 0,
                "cache": 0,
            }
        )
    return found
