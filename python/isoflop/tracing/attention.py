"""What fused attention costs, whichever library computes it: arguments are found by the name in the operation's schema.

Pairs are counted twice: all of them, as a dense product computes them, and those the mask keeps. A causal mask is the
square one, s (s + 1) / 2 a sequence. A mask tensor is read where it holds numbers; on meta and fake tensors it does
not, and every pair counts as kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from isoflop.tracing.ops import Op
from isoflop.tracing.registry import Formula

Get = Callable[[str], Any]
"""The value of a call's argument by name, None where the operation has no such argument or it was left out."""


def _forward(get: Get, *, heads_first: bool = True) -> tuple[Op, ...]:
    return tuple(("attention", *core) for core in _cores(get, heads_first))


def _backward(get: Get, *, heads_first: bool = True) -> tuple[Op, ...]:
    """The gradients, and the scores made again, which the forward pass did not store."""
    cores = _cores(get, heads_first)
    return tuple((kind, *core) for core in cores for kind in ("attention_backward", "attention_scores"))


def by_name(names: Sequence[str], count: Callable[[Get], tuple[Op, ...]]) -> Formula:
    """``count`` as a formula of an operation whose arguments have these names."""
    places = {name: i for i, name in enumerate(names)}

    def counted(args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> tuple[Op, ...]:
        def get(name: str) -> Any:
            place = places.get(name, len(args))
            return args[place] if place < len(args) else kwargs.get(name)

        return count(get)

    return counted


def _cores(get: Get, heads_first: bool) -> list[tuple[Any, ...]]:
    """(dtype, dtype, batch, heads, kv heads, queries, keys, kept, d_qk, d_v) of every block of pairs."""
    q, k, v = get("query"), get("key"), get("value")
    if not heads_first:
        for name_q, name_k in (("cum_seq_q", "cum_seq_k"), ("cu_seqlens_q", "cu_seqlens_k")):
            if (ends := get(name_q)) is not None:
                return _packed(get, ends, get(name_k))
    head, position = (-3, -2) if heads_first else (-2, -3)
    batch = q.numel() // (q.shape[-3] * q.shape[-2] * q.shape[-1])
    heads, queries, kv_heads, keys = q.shape[head], q.shape[position], k.shape[head], k.shape[position]
    all_pairs = batch * heads * queries * keys
    masks = [mask for name in ("attn_mask", "attn_bias", "bias") if (mask := get(name)) is not None]
    if masks:
        kept = _kept_by(masks[0], all_pairs, queries, keys, _is_causal(get))
    else:
        kept = batch * heads * _pairs(queries, keys, get)
    return [(q.dtype, q.dtype, batch, heads, kv_heads, queries, keys, kept, q.shape[-1], v.shape[-1])]


def _packed(get: Get, query_ends: Any, key_ends: Any) -> list[tuple[Any, ...]]:
    """Documents laid end to end, (tokens, heads, width): pairs only within each."""
    q, k, v = get("query"), get("key"), get("value")
    queries = _lengths(query_ends, get("max_q") or get("max_seqlen_q"))
    keys = queries if key_ends is None else _lengths(key_ends, get("max_k") or get("max_seqlen_k"))
    heads, kv_heads, d_qk, d_v = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    return [
        (q.dtype, q.dtype, 1, heads, kv_heads, n, m, heads * _pairs(n, m, get, last_meet=True), d_qk, d_v)
        for n, m in zip(queries, keys, strict=True)
    ]


def _is_causal(get: Get) -> bool:
    return bool(get("is_causal") or get("custom_mask_type"))


def _lengths(ends: Any, longest: int) -> list[int]:
    """Lengths of documents; where the tensor holds no numbers, each as long as the longest."""
    if _holds_numbers(ends):
        return [int(n) for n in ends.diff().tolist()]
    return [int(longest)] * (ends.shape[0] - 1)


def _pairs(queries: int, keys: int, get: Get, *, last_meet: bool = False) -> int:
    """Pairs that a causal mask and a window keep; the first query and key meet, or the last ones."""
    left, right = get("window_size_left"), get("window_size_right")
    before = None if left is None or left < 0 else left
    after = 0 if _is_causal(get) else None if right is None or right < 0 else right
    if before is None and after is None:
        return queries * keys
    shift = keys - queries if last_meet or get("custom_mask_type") == 2 else 0
    if before is None and after == 0 and shift == 0 and queries == keys:
        return queries * (queries + 1) // 2
    kept = 0
    for place in range(shift, queries + shift):
        first = 0 if before is None else max(0, place - before)
        last = keys - 1 if after is None else min(keys - 1, place + after)
        kept += max(0, last - first + 1)
    return kept


def _kept_by(mask: Any, all_pairs: int, queries: int, keys: int, causal: bool) -> int:
    if not _holds_numbers(mask):
        return all_pairs
    mask = mask.detach()
    kept = mask if str(mask.dtype) == "torch.bool" else mask.isneginf().logical_not()
    if causal:
        kept = kept.expand(*kept.shape[:-2], queries, keys).tril()
    elif kept.shape[-2:] != (queries, keys):
        kept = kept.expand(*kept.shape[:-2], queries, keys)
    share: int = int(kept.sum()) * all_pairs // kept.numel()
    return share


def _holds_numbers(tensor: Any) -> bool:
    return bool(tensor.device.type != "meta" and not hasattr(tensor, "fake_mode"))


def _flex(get: Get) -> tuple[Op, ...]:
    return tuple(("attention", *core) for core in _flex_cores(get))


def _flex_backward(get: Get) -> tuple[Op, ...]:
    return tuple((kind, *core) for core in _flex_cores(get) for kind in ("attention_backward", "attention_scores"))


def _flex_cores(get: Get) -> list[tuple[Any, ...]]:
    """Kept pairs are those of blocks that the block mask does not skip: what mask_mod drops within one is kept here."""
    q, k, v, mask = get("query"), get("key"), get("value"), get("block_mask")
    batch, heads, queries, d_qk = q.shape
    kv_heads, keys, d_v = k.shape[1], k.shape[2], v.shape[3]
    kept = all_pairs = batch * heads * queries * keys
    counts = [i for i, part in enumerate(mask or ()) if hasattr(part, "shape")]
    if counts and _holds_numbers(mask[counts[0]]):
        some, full = mask[counts[0]], mask[counts[0] + 2]  # blocks a row: looked into, taken whole
        blocks = int(some.sum()) + (0 if full is None else int(full.sum()))
        a_block = mask[-3] * mask[-2]
        kept = min(all_pairs, blocks * a_block * (batch * heads // (some.shape[0] * some.shape[1])))
    return [(q.dtype, q.dtype, batch, heads, kv_heads, queries, keys, kept, d_qk, d_v)]


ATTENTION: dict[str, Callable[[Get], tuple[Op, ...]]] = {
    "scaled_dot_product_attention": _forward,
    "_scaled_dot_product_flash_attention": _forward,
    "_scaled_dot_product_flash_attention_for_cpu": _forward,
    "_scaled_dot_product_efficient_attention": _forward,
    "_scaled_dot_product_cudnn_attention": _forward,
    "_scaled_dot_product_fused_attention_overrideable": _forward,
    "_flash_attention_forward": partial(_forward, heads_first=False),
    "_efficient_attention_forward": partial(_forward, heads_first=False),
    "_cudnn_attention_forward": _forward,
    "_scaled_dot_product_flash_attention_backward": _backward,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _backward,
    "_scaled_dot_product_efficient_attention_backward": _backward,
    "_scaled_dot_product_cudnn_attention_backward": _backward,
    "_scaled_dot_product_fused_attention_overrideable_backward": _backward,
    "_flash_attention_backward": partial(_backward, heads_first=False),
    "_efficient_attention_backward": partial(_backward, heads_first=False),
    "_cudnn_attention_backward": _backward,
    "flex_attention": _flex,
    "flex_attention_backward": _flex_backward,
}
"""ATen or higher-order name -> count by named arguments."""
