"""What each table of tiles is tuned by: an op, and the sizes that its rows serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from isoflop.benchmark.mixtures import experts
from isoflop.benchmark.sizes import Size
from isoflop.kernels.moe_routing import padded


class Target(NamedTuple):
    """What a table is tuned by: the time of ``op``, with its backward pass or without, at ``sizes``.

    ``served`` is what the kernel looks up in the table at a size; None where its rows name no width.
    """

    op: str
    both: bool
    sizes: tuple[Size, ...]
    served: Callable[[Size], int | None] = lambda size: size.width


_SHORT = (Size(64, 16, 128, 64, 256),)
_SIZES = (Size(16, 16, 256, 64, 256), Size(4, 16, 512, 256, 4096), Size(1, 8, 1024, 1024, 8192))

TARGETS: dict[str, Target] = {
    "embed": Target("embed", True, _SIZES),
    "norm": Target("add_norm", True, _SIZES),
    "linear": Target("linear", False, _SIZES),
    "linear_weight": Target("linear", True, _SIZES),
    "qkv": Target("norm_qkv", False, _SIZES),
    "qkv_rows": Target("norm_qkv", True, _SIZES),
    "qkv_weight": Target("norm_qkv", True, _SIZES),
    "attention": Target("attention", False, _SIZES[1:2], lambda size: size.d_head),
    "attention_dq": Target("attention", True, _SIZES[1:2], lambda size: size.d_head),
    "attention_dkdv": Target("attention", True, _SIZES[1:2], lambda size: size.d_head),
    "cross_entropy": Target("linear_cross_entropy", False, _SIZES),
    "cross_entropy_backward": Target("linear_cross_entropy", True, _SIZES),
    "activation": Target("activation", True, _SIZES, lambda size: size.axes["F"]),
    "mlp": Target("mlp", False, _SIZES[:2]),
    "mlp_backward_rows": Target("mlp", True, _SIZES[:2]),
    "mlp_backward_columns": Target("mlp", True, _SIZES[:2]),
    "moe_route": Target("moe_route", False, _SIZES[-1:], lambda size: padded(experts(size))),
    "moe": Target("moe", False, _SIZES),
    "moe_weight": Target("moe", True, _SIZES, lambda size: size.axes["F"]),
    "moe_combine": Target("moe", False, _SIZES),
    "block": Target("block", False, _SHORT),
    "block_backward": Target("block", True, _SHORT),
    "adamw": Target("adamw", False, _SIZES[-1:], lambda size: None),
    "muon": Target("muon", False, _SIZES),
}
"""By table."""
