"""What a search of shapes must find: every candidate of a small space, one plain loop inside the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from isoflop import Shape


def candidates(
    *,
    n_layer: tuple[int, int],
    d_model: tuple[int, int],
    d_head: tuple[int, int],
    kv_group: tuple[int, int],
    aspect: tuple[float, float],
    ff_ratio: tuple[float, float],
    multiple_of: int,
    **fields: object,
) -> Iterator[Shape]:
    for depth in range(n_layer[0], n_layer[1] + 1):
        for width in range(d_model[0], d_model[1] + 1):
            if width % multiple_of or not aspect[0] <= width / depth <= aspect[1]:
                continue
            for heads in range(1, width + 1):
                if width % heads:
                    continue
                narrow = heads == 1 and width < d_head[0]
                if not (narrow or d_head[0] <= width // heads <= d_head[1]):
                    continue
                if fields.get("position") == "rope" and width // heads % 2:
                    continue
                for kv_heads in range(1, heads + 1):
                    if heads % kv_heads or not kv_group[0] <= heads // kv_heads <= kv_group[1]:
                        continue
                    for d_ff in hidden_widths(width, ff_ratio, multiple_of):
                        yield Shape(n_layer=depth, d_model=width, n_head=heads, n_kv_head=kv_heads, d_ff=d_ff, **fields)


def hidden_widths(width: int, ff_ratio: tuple[float, float], multiple_of: int) -> list[int]:
    low, high = ff_ratio
    if low == high:
        return [max(1, math.floor(low * width / multiple_of + 0.5)) * multiple_of]
    multiples = range(multiple_of, math.ceil(high * width) + multiple_of, multiple_of)
    return [d_ff for d_ff in multiples if low <= d_ff / width <= high]


def nearest(
    space: Mapping[str, object],
    goals: list[tuple[Callable[[Shape], float], float]],
    ceilings: list[tuple[Callable[[Shape], float], float]],
) -> list[tuple[float, int, int, int, int, int]]:
    """(distance, n_layer, d_model, n_head, n_kv_head, d_ff) of every candidate below the ceilings, sorted."""
    rows = []
    for shape in candidates(**space):
        if any(count(shape) > most for count, most in ceilings):
            continue
        distances = [abs(count(shape) - goal) * (1 / goal) for count, goal in goals or ceilings]
        fields = (shape.n_layer, shape.d_model, shape.n_head, shape.n_kv_head, shape.d_ff)
        rows.append((max(distances), *fields))
    return sorted(rows)
