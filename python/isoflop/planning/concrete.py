"""A concrete shape for a planned size: layers, width, heads and hidden width that exist, and what a budget makes of it.

The planned N is met within a hundredth; of shapes that near, the one in the middle of the ranges asked for is taken.
Its FLOPs a token are counted, so that the tokens which the budget buys, and the loss there, are those of this shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.planning.page import Shown

if TYPE_CHECKING:
    from isoflop.counting.enumeration import Nearby
    from isoflop.shape import Shape

Range = tuple[float, float]
Array = NDArray[np.float64]

NEAR = 0.01
"""Shapes whose N differ by less are taken to be equally near."""
BYTES_PER_PARAM = 16.0
"""Parameters, gradients and AdamW's moments in mixed precision."""

_LIMIT = 4096
_TRIED = 64
_WIDE_HEADS = 1e9
"""Parameters from which published models have heads of 128, below it of 64."""
_SHARES = np.linspace(1.0, 0.1, 10)
"""Of all devices' memory, tried one after another for parameters and optimizer until activations fit beside them."""


@dataclass(frozen=True)
class Space:
    """Which shapes may be chosen.

    Attributes:
        n_vocab, n_ctx: of the model to train.
        convention: how its FLOPs are counted.
        device, count: what must hold parameters, gradients and AdamW's state, shared out evenly, with the activations
            of one sequence a device, recomputed; None: any memory will do.
        aspect: range of d_model / n_layer. Losses change little with it (Kaplan 2020, figure 5).
        ff_ratio: range of d_ff / d_model; None for the usual one of the activation.
        d_head: range; None for 64, or 128 from 1e9 parameters.
        kv_group: range of query heads a key/value head.
        multiple_of: d_model and d_ff are multiples of it.
        fields: other fields of :class:`isoflop.Shape`.
    """

    n_vocab: int = 50_257
    n_ctx: int = 2048
    convention: str = "exact-causal"
    device: str | None = None
    count: int = 1
    aspect: float | Range = (64, 160)
    ff_ratio: float | Range | None = None
    d_head: int | tuple[int, int] | None = None
    kv_group: int | tuple[int, int] = 1
    multiple_of: int = 64
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Concrete(Shown):
    """A shape for a plan.

    Attributes:
        shape: the model.
        n_nonembedding, n_params: exact counts.
        n_law: the one of them that the law counts.
        flops_per_token: of training, under ``convention``.
        n_tokens: that the budget buys at that.
        loss: of the law there, nats per token.
        sequences: a device holds at most in a microbatch, blocks recomputed; None where no device was named.
        considered: shapes of the space.
        warnings: what keeps it from being the planned size.
    """

    shape: Shape
    n_nonembedding: int
    n_params: int
    n_law: int
    flops_per_token: float
    convention: str
    n_tokens: float
    loss: float
    sequences: int | None
    considered: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "shape": self.shape.to_dict(), "warnings": list(self.warnings)}

    def __str__(self) -> str:
        of = self.shape
        heads = f"{of.n_head} heads of {of.d_head}"
        if of.n_kv_head != of.n_head:
            heads += f" ({of.n_kv_head} for keys and values)"
        widths = f"n_layer {of.n_layer}, d_model {of.d_model}, {heads}, d_ff {of.d_ff}"
        lines = [
            f"{widths}: {self.n_params:,} parameters, {self.n_nonembedding:,} outside embeddings",
            f"{self.flops_per_token:.4g} FLOP/token ({self.convention}): {self.n_tokens:.4g} tokens, L {self.loss:.4g}",
        ]
        if self.sequences is not None:
            lines.append(f"{self.sequences:,} sequences of {of.n_ctx} fit a device, blocks recomputed")
        return "\n".join(lines)


Loss = Callable[[float, float], float]
"""Of N, as the law counts it, and D."""


def choose_shape(compute: float, n: float, counts: str, space: Space, loss: Loss) -> Concrete:
    """The shape of a space that has ``n`` parameters of those that ``counts`` names, and fits; with what it does.

    Args:
        compute: FLOPs, under the convention of the space.
        n: planned parameters.
        counts: "total" or "non-embedding"; empty is taken for the latter, with a warning.

    Raises:
        PlanError: no shape of the space fits the devices.
        ShapeError, SpecError: a space without shapes, an unknown device or convention.
    """
    from isoflop.counting.footprint import capacity

    room = None if space.device is None else space.count * float(capacity(space.device, 0.1))
    for share in _SHARES:
        near = _search(n, counts, space, None if room is None else share * room)
        for at in _order(near, space)[:_TRIED]:
            shape = near[int(at)]
            sequences = None if space.device is None else _sequences(shape, space)
            if sequences == 0:
                continue
            per_token, distance = (float(near.columns[name][at]) for name in ("flops_per_token", "distance"))
            full = room is not None and BYTES_PER_PARAM * shape.n_params > 0.9 * share * room
            warnings = () if distance <= NEAR else (_off(n, shape, counts, space, full),)
            unsaid = () if counts else ("the shape has N without embeddings, as nobody said what N counts",)
            has = int(getattr(shape, _goal(counts)))
            return Concrete(
                shape, shape.n_nonembedding, shape.n_params, has, per_token, space.convention, compute / per_token,
                loss(has, compute / per_token), sequences, near.covered, (*unsaid, *warnings),
            )  # fmt: skip
    raise PlanError(
        f"no shape of this space trains on {_held(space)}", hint="more devices, or a smaller n_ctx or n_vocab"
    )


def _search(n: float, counts: str, space: Space, memory: float | None) -> Nearby:
    from isoflop.counting.enumeration import shapes_near

    usual = 8 / 3 if space.fields.get("activation") == "swiglu" else 4.0
    goal: dict[str, Any] = {_goal(counts): n}
    return shapes_near(
        **goal,
        memory=memory,
        bytes_per_param=BYTES_PER_PARAM,
        aspect=space.aspect,
        ff_ratio=(usual * 8 / 9, usual * 9 / 8) if space.ff_ratio is None else space.ff_ratio,
        d_head=(64 if n < _WIDE_HEADS else 128) if space.d_head is None else space.d_head,
        kv_group=space.kv_group,
        multiple_of=space.multiple_of,
        convention=space.convention,
        limit=_LIMIT,
        n_ctx=space.n_ctx,
        n_vocab=space.n_vocab,
        **space.fields,
    )


def _goal(counts: str) -> str:
    return "n_params" if counts == "total" else "n_nonembedding"


def _order(near: Nearby, space: Space) -> NDArray[np.intp]:
    """The nearest shapes, those in the middle of the ranges first."""
    columns = near.columns
    if not len(near):
        return np.zeros(0, dtype=np.intp)
    good = np.flatnonzero(columns["distance"] <= columns["distance"][0] + NEAR)
    ratios = {
        "aspect": (columns["d_model"] / columns["n_layer"], space.aspect),
        "ff_ratio": (columns["d_ff"] / columns["d_model"], space.ff_ratio),
        "d_head": (columns["d_model"] / columns["n_head"], space.d_head),
        "kv_group": (columns["n_head"] / columns["n_kv_head"], space.kv_group),
    }
    off = sum(np.abs(np.log(values / _middle(values, asked)))[good] for values, asked in ratios.values())
    return good[np.argsort(off, kind="stable")]


def _middle(values: Array, asked: float | Range | None) -> float:
    """Of the range asked for, or of what was found where nothing was."""
    low, high = asked if isinstance(asked, tuple) else (asked, asked)
    if low is None or high is None:
        low, high = float(values.min()), float(values.max())
    return math.sqrt(low * high)


def _sequences(shape: Shape, space: Space) -> int:
    from isoflop.counting.footprint import largest_batch

    return largest_batch(shape, space.device or "", recompute="full", dp=space.count, zero=3)


def _off(n: float, shape: Shape, counts: str, space: Space, full: bool) -> str:
    has = getattr(shape, _goal(counts))
    if full and has < n:
        return f"N = {n:.4g} does not fit {_held(space)}: the largest that does is {has:.4g}"
    return f"the nearest shape of this space has N = {has:.4g}, {abs(has / n - 1):.1%} off"


def _held(space: Space) -> str:
    from isoflop.hardware import device

    return f"{space.count} x {device(space.device or '').name}"
