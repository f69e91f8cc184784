"""Shapes of a study by size: for each N asked for, the nearest shape of a space."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec

from isoflop.counting.enumeration import TOLERANCE, shapes_near
from isoflop.errors import ShapeError, SpecError, nearest
from isoflop.shape import Shape

NEAR_HINT = "near = { n_nonembedding = [1e4, 1e5], aspect = [4, 64], multiple_of = 8 }"

Positive = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
Sizes = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
_SEARCHED = ("n_layer", "d_model", "n_head", "n_kv_head", "d_head", "d_ff")


@dataclass(frozen=True, kw_only=True)
class Near:
    """The ``near`` table of a study: sizes, and the ranges of :func:`~isoflop.shapes_near` to look for them in.

    The defaults keep a study's models alike but for their size: as many key/value heads as heads, and d_ff the
    multiple nearest to 4 d_model (8/3 d_model for swiglu).

    Attributes:
        n_nonembedding: N of each shape; none where ``profiles`` or ``sample`` say the sizes, which look here for them.
        tolerance: how far from its N, relatively, a shape may be.
    """

    n_nonembedding: tuple[Positive, ...] = ()
    aspect: float | tuple[float, float] = (8, 64)
    multiple_of: int = 8
    n_layer: int | tuple[int, int] = (1, 256)
    d_model: int | tuple[int, int] = (1, 32_768)
    d_head: int | tuple[int, int] = (16, 64)
    kv_group: int | tuple[int, int] = 1
    ff_ratio: float | tuple[float, float] | None = None
    tolerance: Positive = TOLERANCE

    def shapes(self, common: Mapping[str, Any]) -> list[Shape]:
        """One shape for each N, with the ``common`` fields. Raises as :meth:`shape`."""
        return [self.shape(size, common) for size in self.n_nonembedding]

    def shape(self, size: float, common: Mapping[str, Any]) -> Shape:
        """The shape nearest to N = ``size``, with the ``common`` fields.

        Raises:
            SpecError: it is not within the tolerance, or as :meth:`nearest`.
            ShapeError: a range or a field out of its domain.
        """
        shape = self.nearest(size, common)
        if abs(shape.n_nonembedding / size - 1) > self.tolerance:
            raise SpecError(
                f"near: no shape within {self.tolerance:.3g} of n_nonembedding = {size:.6g}; the nearest (n_layer = "
                f"{shape.n_layer}, d_model = {shape.d_model}, d_ff = {shape.d_ff}) has {shape.n_nonembedding:,}, "
                f"{shape.n_nonembedding / size - 1:+.2%}",
                hint="use a smaller multiple_of, wider ranges of aspect or ff_ratio, or a larger tolerance",
            )
        return shape

    def nearest(self, size: float, common: Mapping[str, Any]) -> Shape:
        """The shape nearest to N = ``size``, however far from it.

        Raises:
            SpecError: ``common`` holds what is searched, or not what is needed.
            ShapeError: a range or a field out of its domain.
        """
        for name in common:
            if name in _SEARCHED:
                raise SpecError(
                    f"[shape] has {name}, which near searches", hint="put it in shapes, or bound it in near"
                )
            if name not in Shape.__dataclass_fields__:
                raise ShapeError(f"a shape has no field {name!r}", hint=nearest(name, Shape.__dataclass_fields__))
        missing = [name for name in ("n_ctx", "n_vocab") if name not in common]
        if missing:
            raise SpecError(f"near needs {' and '.join(missing)}", hint="say them in [shape]")
        space = {name: value for name, value in asdict(self).items() if name not in ("n_nonembedding", "tolerance")}
        if self.ff_ratio is None:
            space["ff_ratio"] = 8 / 3 if common.get("activation") == "swiglu" else 4
        return shapes_near(n_nonembedding=size, limit=1, **space, **common)[0]
