"""Gradients of micro-batches added up into those of the batch, and the squares of both on the way: noise for nothing.

    sum += g,   small += |g|^2,   big = |sum|^2          over the tensors of a model

FLOPs an element and micro-batch: 5. Minimum bytes an element: s of the micro-batch's gradient read, 4 of a float32 sum
read and 4 written (the first micro-batch reads no sum): what accumulation alone takes. The optimizer needs no pass of
its own to measure the norm it clips by (``AdamW.update(measured=True)``), which saves it 4. Arithmetic intensity at two
bytes: half a FLOP a byte.

From |g|^2 of a small batch and of a large one follow the squared length of the true gradient and the trace of the
covariance of its noise, without bias (McCandlish et al. 2018, appendix A.1): ``reference.noise_scale``.

Programs find their tensor in the tables of the optimizer, leave a partial sum each, and one program a model adds those
up in a fixed order, in float64: no atomics, the same bits every time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.adamw import AdamW
from isoflop.kernels.addresses import TYPES, address, elements, refuse_unaligned
from isoflop.kernels.dispatch import record
from isoflop.kernels.signatures import check

FLOPS = 5  # an element of a micro-batch


@triton.jit
def _noise_add(
    GRADS, SUMS, TENSOR, START, NUMEL, SMALL, BIG,
    GRAD: tl.constexpr, SUM: tl.constexpr, FIRST: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """Grid (blocks, K): a block of one gradient to its sum, and the squares of both to SMALL and BIG (K, blocks)."""
    model = tl.program_id(1).to(tl.int64)
    tensor, at, live = elements(TENSOR, START, NUMEL, model, BLOCK, ALIGN)
    g = tl.load(address(GRADS, tensor, GRAD) + at, mask=live, other=0.0).to(tl.float32)
    sums = address(SUMS, tensor, SUM) + at
    total = g
    if not FIRST:
        total += tl.load(sums, mask=live, other=0.0).to(tl.float32)
    kept = total.to(SUM)
    tl.store(sums, kept, mask=live)
    total = kept.to(tl.float32)
    part = model * tl.num_programs(0) + tl.program_id(0)
    tl.store(SMALL + part, tl.sum(g * g, 0))
    tl.store(BIG + part, tl.sum(total * total, 0))


@triton.jit
def _noise_squares(SMALL, BIG, SQUARES, blocks, FIRST: tl.constexpr, BLOCK: tl.constexpr):
    """Grid (K,): partial sums to SQUARES (K, 2) float64, those of SMALL added to what is there but for the FIRST."""
    model, lanes = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    small, big = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    for start in range(0, blocks, BLOCK):
        at, live = model * blocks + start + lanes, start + lanes < blocks
        small += tl.load(SMALL + at, mask=live, other=0.0).to(tl.float64)
        big += tl.load(BIG + at, mask=live, other=0.0).to(tl.float64)
    total = tl.sum(small, 0)
    if not FIRST:
        total += tl.load(SQUARES + 2 * model)
    tl.store(SQUARES + 2 * model, total)
    tl.store(SQUARES + 2 * model + 1, tl.sum(big, 0))


class GradientNoise:
    """The gradients of K models, one micro-batch at a time, added up into those that ``optimizer`` reads.

    Args:
        optimizer: whose ``grads`` hold the sums; its update may then be told ``measured=True``.
        grads: as many (K, ...) tensors, in which the gradient of each micro-batch is found: of its mean loss over the
            number of micro-batches, so that the sum is the gradient of the mean loss of the batch.

    ``squares`` (K, 2) float64: the sum of |g|^2 of the micro-batches so far, and |sum of g|^2. Raises KernelError for
    tensors that ``signatures.check`` refuses or that are not aligned to 16 bytes.
    """

    def __init__(self, optimizer: AdamW, grads: Sequence[Tensor]) -> None:
        sums = optimizer.kept["grads"]
        check("accumulate", sums=sums, grads=grads)
        refuse_unaligned("accumulate", {"grads": grads})
        self.optimizer, self.kept = optimizer, grads
        self.addresses = torch.tensor([each.data_ptr() for each in grads], device=grads[0].device)
        self.partial = torch.empty_like(optimizer.partial)
        self.squares = torch.empty(optimizer.models, 2, dtype=torch.float64, device=grads[0].device)
        self.types = {"GRAD": TYPES[grads[0].dtype], "SUM": optimizer.types["GRAD"]}

    def add(self, *, first: bool) -> None:
        """The next micro-batch, from the gradients as they are now; the ``first`` of a batch starts its sums anew."""
        record("accumulate", "triton")
        held = self.optimizer
        tile, parts = held.tile.constants | held.tile.launch | {"FIRST": first}, (self.partial, held.partial)
        _noise_add[(held.blocks, held.models)](
            self.addresses, held.addresses[1], *held.where, *parts, ALIGN=held.align, **self.types, **tile
        )
        _noise_squares[(held.models,)](*parts, self.squares, held.blocks, **tile)

    def norms(self, micro_batches: int) -> tuple[Tensor, Tensor]:
        """|G|^2 (K,) float64 of one micro-batch, their mean, and of the batch of so many: for ``noise_scale``."""
        return micro_batches * self.squares[:, 0], self.squares[:, 1]


def least_bytes(elements: int, size: int, sums: int, *, first: bool = False) -> int:
    """That a micro-batch reads and writes, of gradients at ``size`` bytes an element and their sums at ``sums``."""
    return (size + (1 if first else 2) * sums) * elements
