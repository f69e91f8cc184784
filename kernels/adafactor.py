"""Adafactor (Shazeer and Stern 2018, arXiv 1804.04235): six launches update all tensors of all models.

    q = g^2 + 1e-30,   b = 1 - t^-0.8                                                    t counts updates, this one too
    R = b R + (1 - b) mean over columns of q,   C the same over rows,   v = R C / mean(R);    of a vector v for R alone
    u = g / sqrt(v),   p = (1 - lr wd) p - lr u / max(1, rms(u))               each matrix of a stack by itself

Launches: sums of q by tile; moments from these; mean(R); sums of u^2 by tile; lr over the size of u; the update. A
vector is a matrix of one row, whose sums over rows are v. Sums run in a fixed order. Minimum bytes an element of
float32: 20 (read g three times, p once, write p), to which sums by tile add 8 / COLUMNS + 8 / ROWS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from isoflop.kernels import adafactor_tiles as tiles
from isoflop.kernels.adafactor_tiles import Matrix
from isoflop.kernels.addresses import ALIGNED, TYPES, refuse_unaligned
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import refuse_host

COLUMNS = 64  # of a tile, which has as many rows as fill a block of AdamW's
PARTS = 64  # tiles whose sums are added up at once


class Adafactor:
    """The optimizer of K models: tables of addresses made once, then ``update()`` without allocation or host sync.

    Args:
        params, grads: sequences of (K, ...) tensors: vectors, matrices, stacks of matrices; gradients are read.
            ``master``, float32, where given, is what is updated and ``params`` its rounded copy.
        rows, columns: the moments R (K, ..., O) and C (K, ..., I), float32; v and None of vectors.
        rate, decay: (K,) float64, the learning rate and the weight decay: write there.
        factors: (tensors, 2, K) float32, what multiplies the rate and the decay of each.
        step: (K,) int64, updates made, this one among them; ``clipped`` (K,) float32, what gradients are multiplied by.

    Raises KernelError for tensors that are on no GPU or not aligned to 16 bytes.
    """

    def __init__(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], rows: Sequence[Tensor],
        columns: Sequence[Tensor | None], *, rate: Tensor, decay: Tensor, factors: Tensor, step: Tensor,
        clipped: Tensor, master: Sequence[Tensor] | None = None,
    ) -> None:  # fmt: skip
        device, self._models = params[0].device, len(params[0])
        refuse_host("adafactor", "params[0]", params[0])
        # Where there is none of columns, that of rows is of the columns of one row.
        across = [row if column is None else column for row, column in zip(rows, columns, strict=True)]
        kept = {"params": params, "grads": grads, "master": master, "rows": rows, "columns": across}
        refuse_unaligned("adafactor", kept)
        tile = configuration(
            "adamw", width=max(each[0].numel() for each in params), dtype=params[0].dtype, chip=chip_of(device)
        )
        self._block, self._launch = tile["block"], tile.launch
        self._tile = {"ROWS": max(1, self._block // COLUMNS), "COLUMNS": COLUMNS}
        self._plan = _planned(params, columns, **self._tile)
        plan, models = self._plan, self._models

        def table(values: Sequence[Sequence[int]]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device)

        def addresses(*tensors: Sequence[Tensor]) -> Tensor:
            return table([[each.data_ptr() for each in group] for group in tensors])

        def room(*size: int) -> Tensor:
            return torch.empty(models, *size, dtype=torch.float32, device=device)

        self._kept = kept, factors
        self._grads, self._clipped, self._step = addresses(grads), clipped, step
        self._params, self._master = addresses(params), None if master is None else addresses(master)
        self._moments, self._rates, self._decay, self._factors = addresses(rows, across), rate, decay, factors
        self._tiles, self._lines, self._matrices = table(plan.tiles), table(plan.lines), table(plan.matrices)
        self._sums, self._squares = room(plan.sums), room(len(plan.tiles))
        self._means, self._sizes = room(len(plan.matrices)), room(len(plan.matrices))
        aligned = all(each.wide % ALIGNED == 0 for each in plan.matrices)
        self._types = {"GRAD": TYPES[grads[0].dtype], "ALIGN": ALIGNED if aligned else 1} | self._tile | tile.launch
        self._param = TYPES[params[0].dtype]

    def update(self) -> None:
        """One step of every tensor from the gradients as they are now."""
        record("adafactor", "triton")
        plan, tensors, matrices = self._plan, self._moments.shape[1], len(self._plan.matrices)
        grid, of_matrix = (len(plan.tiles), self._models), (matrices, self._models)
        launch, given = self._launch, (self._grads, self._clipped, self._tiles, self._matrices)
        tiles._adafactor_sums[grid](*given, self._sums, plan.sums, **self._types)
        tiles._adafactor_moments[len(plan.lines), self._models](
            self._sums, self._lines, self._matrices, self._moments, self._step, plan.sums, tensors, PARTS=PARTS,
            COLUMNS=COLUMNS, **launch,
        )  # fmt: skip
        tiles._adafactor_means[of_matrix](self._matrices, self._moments, self._means, BLOCK=self._block, **launch)
        of_change = *given, self._moments, self._means
        tiles._adafactor_squares[grid](*of_change, self._squares, tensors, matrices, **self._types)
        tiles._adafactor_sizes[of_matrix](
            self._matrices, self._squares, self._rates, self._factors, self._sizes, len(plan.tiles), BLOCK=self._block,
            **launch,
        )  # fmt: skip
        tiles._adafactor_update[grid](
            self._params, self._master, *of_change, self._sizes, self._rates, self._decay, self._factors, tensors,
            matrices, PARAM=self._param, **self._types,
        )  # fmt: skip


class _Plan(NamedTuple):
    """``matrices``; ``tiles`` by matrix, first row and column; ``lines`` of moments by matrix, axis and first; ``sums``
    by tile in all."""

    matrices: list[Matrix]
    tiles: list[tuple[int, int, int]]
    lines: list[tuple[int, int, int]]
    sums: int


def _planned(params: Sequence[Tensor], columns: Sequence[Tensor | None], ROWS: int, COLUMNS: int) -> _Plan:
    made: list[Matrix] = []
    found: list[tuple[int, int, int]] = []
    lines: list[tuple[int, int, int]] = []
    sums = 0
    for tensor, (param, column) in enumerate(zip(params, columns, strict=True)):
        high, wide = param.shape[-2:] if column is not None else (1, param.shape[-1])
        across, down, stack = triton.cdiv(wide, COLUMNS), triton.cdiv(high, ROWS), param[0].numel() // (high * wide)
        axes = ((0, high), (1, wide)) if column is not None else ((1, wide),)
        for number in range(stack):
            place, by_column = len(made), sums + across * high
            made.append(Matrix(
                tensor, number, stack, high, wide, column is not None, sums, by_column, across, down, len(found)
            ))  # fmt: skip
            sums = by_column + down * wide
            found += [(place, row, at) for row in range(0, high, ROWS) for at in range(0, wide, COLUMNS)]
            lines += [(place, axis, first) for axis, count in axes for first in range(0, count, COLUMNS)]
    return _Plan(made, found, lines, sums)
