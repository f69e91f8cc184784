"""Bytes that runs trained together take, predicted before any is allocated; what does not fit is refused.

Parameters, moments and gradients are counted; activations are those of :func:`isoflop.counting.footprint.memory`, of as
much of a batch as the engine has in work at once, and what each engine is known to keep beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from isoflop.counting.footprint import memory
from isoflop.errors import NotEnoughMemory
from isoflop.kernels.parameter_sizes import is_mixture, parameter_sizes
from isoflop.shape import Shape
from isoflop.train.engine.moments import MOMENTS
from isoflop.train.engine.parts import part_of, saved_by_mlp, slots_of
from isoflop.train.spec import TrainSpec

EVAL_BATCH = 64
LOGITS_AT_ONCE = 1 << 22
"""Those that are there at a time, or a token's, where only the likeliest tokens are asked for."""
_FLOAT, _INDEX = 4, 8
_HITS_TOKENS = 1 << 13
_LIBRARIES = 80 << 20
"""Bytes that a process has more in memory after its first steps than its tensors take, measured."""
_EAGER = 1.2
"""What torch keeps of blocks, of what the memory model counts: 1.0 (GPT-2) to 1.4 (rotary, gated, RMS) measured."""
_PACKED = 3.3
"""Numbers a parameter, of matrices laid out for products, training and judging: 3.0 to 3.4 counted, by shape."""
_WIDTHS = {"float32": 4, "bfloat16": 2}


def eval_batch(spec: TrainSpec) -> int:
    """Sequences judged at a time: divided as the batch is, so that judging takes no more memory than training."""
    return max(1, max(EVAL_BATCH, spec.batch_windows) // spec.accumulate)


def hits_batch(shape: Shape, batch: int) -> int:
    """Sequences whose likeliest tokens the plain model tells at a time, of ``batch``: all where experts may be full."""
    return batch if shape.capacity_factor is not None else min(batch, max(1, _HITS_TOKENS // shape.n_ctx))


def needed(specs: Sequence[TrainSpec], *, threads: int = 1) -> dict[str, int]:
    """Bytes that the models of ``specs``, one stack, take on ``threads`` threads, by kind.

    Kinds are parameters, optimizer, gradients, activations, data and libraries.
    """
    first, models = specs[0], len(specs)
    held = HELD[first.engine](first, models, threads)
    of_tokens = _INDEX * 2 * models * first.shape.n_ctx * (first.batch_windows + eval_batch(first))
    unique = sum(_FLOAT * spec.unique_tokens + _INDEX * spec.unique_tokens // spec.shape.n_ctx for spec in specs)
    average = _FLOAT * first.shape.n_params * sum(spec.averaging != "none" for spec in specs)
    if first.engine != "torch":
        for kind, more in _by_hits(specs).items():
            held[kind] += more
    return {**held, "optimizer": held["optimizer"] + average, "data": of_tokens + unique, "libraries": _LIBRARIES}


def _by_hits(specs: Sequence[TrainSpec]) -> dict[str, int]:
    """What the plain model takes that tells the likeliest tokens: itself, a block's activations, and some logits."""
    counting, shape = [spec for spec in specs if spec.counts_hits], specs[0].shape
    if not counting:
        return {}
    rows = hits_batch(shape, eval_batch(specs[0]))
    of_blocks = memory(shape, batch=rows, state="fp32", activation_bytes=_FLOAT).activations
    return {
        "parameters": len({spec.parametrised for spec in counting}) * _FLOAT * shape.n_params,
        "activations": of_blocks // shape.n_layer + 2 * _FLOAT * max(LOGITS_AT_ONCE, shape.n_vocab),
    }


def _moments(spec: TrainSpec) -> int:
    """Numbers that the optimizer keeps of a model; of one that is no decoder as many as any optimizer does."""
    if spec.shape.architecture != "decoder":
        return 2 * spec.shape.n_params
    sizes = parameter_sizes(spec.shape)
    return sum(math.prod(size) for of in MOMENTS[spec.optimizer].values() for size in of(sizes).values())


def _by_torch(spec: TrainSpec, models: int, threads: int) -> dict[str, int]:
    """One model at a time; its logits are there three times over, with their softmax and their gradient."""
    n_params, noise = spec.shape.n_params, "noise" in spec.measurements
    batch, dropout = spec.batch_windows // spec.micro_batches, spec.dropout > 0
    kept = memory(spec.shape, batch=batch, state="fp32", flash=not dropout, dropout=dropout, activation_bytes=_FLOAT)
    logits = _FLOAT * spec.shape.n_ctx * spec.shape.n_vocab
    more = _FLOAT * batch * spec.shape.n_ctx * spec.shape.n_layer * _unfused(spec)
    training = round(_EAGER * kept.activations) + more + kept.head + 2 * logits * batch
    return {
        "parameters": models * _FLOAT * n_params,
        "optimizer": models * _FLOAT * _moments(spec),
        "gradients": (2 if noise else 1) * _FLOAT * n_params,
        "activations": max(training, 2 * logits * eval_batch(spec)),
    }


def _unfused(spec: TrainSpec) -> int:
    """Floats that plain torch keeps of a token in a layer besides, where no kernel does two things at once.

    Queries and keys are there before and after they are turned, half of them once more; so is what a gate lets through
    of an MLP, what stands between the two norms and their roots, and what dropout leaves, of weights of attention too,
    with its masks.
    """
    shape, each = spec.shape, 0
    if shape.norm == "rms":
        each += 2 * shape.d_model
    if shape.position == "rope":
        each += 3 * (shape.n_head + shape.n_kv_head) * shape.d_head // 2
    if shape.activation == "swiglu":
        each += shape.d_ff
    if spec.dropout > 0:
        each += shape.n_head * shape.n_ctx + 4 * shape.d_model
    return each


def _by_native(spec: TrainSpec, models: int, threads: int) -> dict[str, int]:
    """Each thread has gradients of a model in two slots, its packed matrices, and a part of a batch.

    Of that a block keeps its input, queries, keys, values, what heads give, apart and joined, and what MLPs begin from;
    a mixture what its experts take and give besides, and who goes where. Gradients pass through, and so does the part
    of another batch that is judged, all of it where experts may be full. Experts are packed one at a time. Products in
    bfloat16 are taken to be made by tiles.
    """
    shape, batch = spec.shape, spec.batch_windows
    accumulate = spec.accumulate if shape.n_expert is None else spec.micro_batches
    slots = slots_of(shape, batch, accumulate)
    rows = part_of(shape, batch, slots, accumulate) * shape.n_ctx
    sizes, width = parameter_sizes(shape), shape.d_model
    packed = round(_PACKED * sum(math.prod(size) for size in sizes.values() if len(size) < 3))
    of_block = 3 * width + 2 * (shape.n_head + shape.n_kv_head) * shape.d_head
    n_mixture, choices = _mixtures(shape), shape.top_k or 0
    of_experts = (1 + choices) * width + (shape.n_expert or 0) + 4 * choices
    kept = of_block * shape.n_layer + of_experts * n_mixture
    fused = spec.precision == "bfloat16" and spec.dropout == 0
    saved = saved_by_mlp(shape, rows) * (shape.n_layer - n_mixture) if fused else 0
    judged = rows if shape.capacity_factor is None else eval_batch(spec) * shape.n_ctx
    return {
        "parameters": models * _FLOAT * shape.n_params,
        "optimizer": models * _FLOAT * _moments(spec),
        "gradients": threads * slots * _FLOAT * shape.n_params,
        "activations": threads * (saved + _FLOAT * (rows * kept + 6 * width * (rows + judged) + packed)),
    }


def _by_triton(spec: TrainSpec, models: int, threads: int) -> dict[str, int]:
    """All models at once, without logits; 16-bit parameters are copies, and micro-batches are added up apart.

    What an expert gives is kept before its gate.
    """
    shape, width, parts = spec.shape, _WIDTHS[spec.precision], spec.micro_batches
    batch = spec.batch_windows // parts
    kept = memory(shape, batch=batch, state="fp32", dropout=spec.dropout > 0, activation_bytes=width).activations
    kept += width * batch * shape.n_ctx * (shape.top_k or 0) * shape.d_model * _mixtures(shape)
    of_params = models * shape.n_params
    return {
        "parameters": of_params * (_FLOAT + (width if width < _FLOAT else 0)),
        "optimizer": models * _FLOAT * _moments(spec),
        "gradients": of_params * (width + (_FLOAT if parts > 1 else 0)),
        "activations": models * kept,
    }


def _mixtures(shape: Shape) -> int:
    """Layers that have experts."""
    return sum(is_mixture(shape, layer) for layer in range(shape.n_layer))


HELD: Mapping[str, Callable[[TrainSpec, int, int], dict[str, int]]] = {
    "torch": _by_torch,
    "native": _by_native,
    "triton": _by_triton,
}
"""Bytes by kind of so many models like that of a spec, on so many threads, by engine."""


def parts_of_process(spec: TrainSpec, processes: int) -> int:
    """Parts of a batch that each of ``processes`` takes one after the other: its rows of all of them.

    Experts, which balance their load among all rows of a part, have whole ones: each process its share of these.
    """
    return spec.accumulate if spec.shape.n_expert is None else spec.accumulate // processes


def needed_by_process(spec: TrainSpec, spread: str, processes: int) -> dict[str, int]:
    """Bytes that each of ``processes`` takes which train one model together, by kind.

    DDP has the gradients a second time, in the buckets that it adds up over processes. FSDP has its part of everything,
    of what it computes with two blocks whole, with their gradients, and what is outside the blocks; the whole model
    is there once, before it is parted.
    """
    parts = parts_of_process(spec, processes)
    kinds = needed([replace(spec, batch_tokens=spec.batch_tokens // processes, accumulate=parts)])
    if spread == "ddp":
        return {**kinds, "gradients": kinds["gradients"] + _FLOAT * spec.shape.n_params}
    part = {kind: -(-kinds[kind] // processes) for kind in ("parameters", "optimizer", "gradients")}
    outside = spec.shape.replace(n_layer=1).n_params - (block := _of_block(spec.shape))
    whole = _FLOAT * (outside + min(2, spec.shape.n_layer) * block)
    later = part["optimizer"] + part["gradients"] + whole
    part["gradients"] += whole
    part["parameters"] = max(part["parameters"] + whole, kinds["parameters"] - later)
    return {**kinds, **part}


def _of_block(shape: Shape) -> int:
    """Parameters of one more layer."""
    return shape.replace(n_layer=2).n_params - shape.replace(n_layer=1).n_params


def refuse_past_memory(specs: Sequence[TrainSpec], available: int | None, *, threads: int = 1) -> None:
    """Raise NotEnoughMemory where the stack of ``specs`` is predicted to take more than ``available`` bytes.

    The hint is what would fit: fewer models, smaller parts of a batch, else a smaller model. None: nobody knows.
    """
    kinds = needed(specs, threads=threads)
    if available is None or sum(kinds.values()) <= available:
        return
    models = f"{len(specs)} model{'s' if len(specs) > 1 else ''}"
    raise _refusal(models, specs[0], kinds, available, hint=_remedy(specs, available, threads))


def refuse_share_past_memory(spec: TrainSpec, spread: str, processes: int, available: int | None) -> None:
    """Raise NotEnoughMemory where a process of ``processes`` is predicted to take more than ``available`` bytes."""
    kinds = needed_by_process(spec, spread, processes)
    if available is not None and sum(kinds.values()) > available:
        share = f"each of {processes} processes with its share of 1 model"
        hint = "more processes, on more machines; a larger accumulate in [train], or a smaller batch_tokens or model"
        raise _refusal(share, spec, kinds, available, hint=hint)


def _refusal(what: str, spec: TrainSpec, kinds: Mapping[str, int], available: int, *, hint: str) -> NotEnoughMemory:
    most = max(kinds, key=kinds.__getitem__)
    return NotEnoughMemory(
        f"{what} of {spec.shape.n_params:,} parameters, batch_tokens = {spec.batch_tokens:,}, would take "
        f"{_gibibytes(sum(kinds.values()))} ({most} {_gibibytes(kinds[most])}); {_gibibytes(available)} are there",
        hint=hint,
    )


def _remedy(specs: Sequence[TrainSpec], available: int, threads: int) -> str:
    def fits(fewer: Sequence[TrainSpec]) -> bool:
        return sum(needed(fewer, threads=threads).values()) <= available

    spec, models = specs[0], len(specs)
    if count := next((k for k in range(models - 1, 0, -1) if fits(specs[:k])), None):
        return f"train {count} at a time"
    divisors = (parts for parts in range(2, spec.batch_windows + 1) if spec.batch_windows % parts == 0)
    parts = next((parts for parts in divisors if fits([replace(spec, accumulate=parts)])), None)
    if parts is not None:
        return f"set accumulate = {parts} in [train], or a smaller batch_tokens"
    return "a smaller model, or a machine with more memory"


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
