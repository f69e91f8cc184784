"""AdamW with decoupled decay and a global-norm clip: one launch updates all tensors of all models.

    |g| = sqrt(sum over the tensors of a model of g^2),   g *= min(1, clip/|g|)
    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
    p = (1 - lr wd) p - lr m/(1 - b1^t) / (sqrt(v/(1 - b2^t)) + eps)      decay on the tensors that ask for it

FLOPs an element: 2 to measure |g|, 15 to update. Minimum bytes an element of float32: 32 (read g twice, p, m, v; write
p, m, v); with bfloat16 parameters and gradients and a float32 master 30. Arithmetic intensity: half a FLOP a byte.

Every hyper-parameter is a (K,) float64 array on the device, so that a schedule, a sweep of learning rates or a replayed
graph changes values without a new launch; 1 - b2 of a float32 b2 = 0.999 would be wrong in its fifth digit. Programs
find their tensor in a table of addresses. Three launches: partial sums of squares, one program a model that adds them
in a fixed order and advances the step, the update.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.addresses import ALIGNED, TYPES, address, elements, refuse_unaligned
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import refuse_host
from isoflop.kernels.signatures import OPS, check

FLOPS = 2 + 15  # an element: to measure the norm, to update


@triton.jit
def _adamw_square(
    GRADS, TENSOR, START, NUMEL, PARTIAL, GRAD: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr
):  # fmt: skip
    """Grid (blocks, K): the sum of squares of a block of one gradient, to PARTIAL (K, blocks)."""
    model = tl.program_id(1).to(tl.int64)
    tensor, at, live = elements(TENSOR, START, NUMEL, model, BLOCK, ALIGN)
    g = tl.load(address(GRADS, tensor, GRAD) + at, mask=live, other=0.0).to(tl.float32)
    tl.store(PARTIAL + model * tl.num_programs(0) + tl.program_id(0), tl.sum(g * g, 0))


@triton.jit
def _adamw_scalars(PARTIAL, HYPER, STEP, NORM, SCALARS, blocks, BLOCK: tl.constexpr):
    """Grid (K,): |g| to NORM, STEP + 1, and the float32 scalars of the update, from float64, to SCALARS (8, K)."""
    model = tl.program_id(0).to(tl.int64)
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float64)
    for at in range(0, blocks, BLOCK):
        total += tl.load(PARTIAL + model * blocks + at + lanes, mask=at + lanes < blocks, other=0.0).to(tl.float64)
    norm = tl.sqrt(tl.sum(total, 0))
    tl.store(NORM + model, norm.to(tl.float32))
    step = tl.load(STEP + model) + 1
    tl.store(STEP + model, step)
    models = tl.num_programs(0)
    lr, b1, b2 = tl.load(HYPER + model), tl.load(HYPER + models + model), tl.load(HYPER + 2 * models + model)
    decay, clip = tl.load(HYPER + 4 * models + model), tl.load(HYPER + 5 * models + model)
    past = step.to(tl.float64)
    OUT = SCALARS + model
    tl.store(OUT, tl.where(norm > clip, clip / norm, 1.0).to(tl.float32))
    tl.store(OUT + models, b1.to(tl.float32))
    tl.store(OUT + 2 * models, (1.0 - b1).to(tl.float32))
    tl.store(OUT + 3 * models, b2.to(tl.float32))
    tl.store(OUT + 4 * models, (1.0 - b2).to(tl.float32))
    tl.store(OUT + 5 * models, (lr / (1.0 - tl.exp(past * tl.log(b1)))).to(tl.float32))
    tl.store(OUT + 6 * models, (1.0 / tl.sqrt(1.0 - tl.exp(past * tl.log(b2)))).to(tl.float32))
    tl.store(OUT + 7 * models, (lr * decay).to(tl.float32))


@triton.jit
def _adamw_update(
    PARAMS, GRADS, FIRST, SECOND, MASTER, TENSOR, START, NUMEL, DECAYED, FACTORS, HYPER, SCALARS,
    PARAM: tl.constexpr, GRAD: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """Grid (blocks, K): BLOCK elements of one tensor of one model. MASTER and FACTORS (tensors, 2, K) may be None."""
    model, models = tl.program_id(1).to(tl.int64), tl.num_programs(1)
    tensor, at, live = elements(TENSOR, START, NUMEL, model, BLOCK, ALIGN)
    params = address(PARAMS, tensor, PARAM) + at
    first, second = address(FIRST, tensor, tl.float32) + at, address(SECOND, tensor, tl.float32) + at
    S = SCALARS + model
    g = tl.load(address(GRADS, tensor, GRAD) + at, mask=live, other=0.0).to(tl.float32) * tl.load(S)
    m = tl.load(S + models) * tl.load(first, mask=live, other=0.0) + tl.load(S + 2 * models) * g
    v = tl.load(S + 3 * models) * tl.load(second, mask=live, other=0.0) + tl.load(S + 4 * models) * (g * g)
    tl.store(first, m, mask=live)
    tl.store(second, v, mask=live)
    eps = tl.load(HYPER + 3 * models + model).to(tl.float32)
    change = tl.load(S + 5 * models) * m / (tl.sqrt_rn(v) * tl.load(S + 6 * models) + eps)
    shrink = tl.load(S + 7 * models) * tl.load(DECAYED + tensor)
    if FACTORS is not None:
        rate = tl.load(FACTORS + 2 * tensor * models + model)
        change *= rate
        shrink *= rate * tl.load(FACTORS + (2 * tensor + 1) * models + model)
    if MASTER is not None:
        master = address(MASTER, tensor, tl.float32) + at
        p = tl.load(master, mask=live, other=0.0)
        p -= shrink * p + change
        tl.store(master, p, mask=live)
    else:
        p = tl.load(params, mask=live, other=0.0).to(tl.float32)
        p -= shrink * p + change
    tl.store(params, p.to(PARAM), mask=live)


class AdamW:
    """The optimizer of K models: tables of addresses made once, then ``update()`` without allocation or host sync.

    Args:
        params, grads, first, second: sequences of (K, ...) tensors, updated in place (gradients are read); moments are
            float32. ``master``, float32, where given, is what is updated and ``params`` its rounded copy.
        step: (K,) int64, updates made so far; advanced by each. Further (K,) float64 arrays: ``lr``, ``beta1``,
            ``beta2``, ``eps``, ``weight_decay``, ``clip`` (infinity clips nothing); they are rows of ``hyper`` from
            here on: write there.
        decayed: which tensors decay.
        others: further gradients that are part of |g|; what they belong to is moved by another optimizer.
        factors: (tensors, 2, K) float32, what multiplies the learning rate and the decay of each tensor; 1 where None.

    Of the last update ``norm`` (K,) float32 holds |g| before clipping, ``clipped`` (K,) what gradients were multiplied
    by. Raises KernelError for tensors that ``signatures.check`` refuses, that are not on a GPU or not aligned to 16
    bytes, or a ``decayed`` of another length.
    """

    def __init__(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], first: Sequence[Tensor], second: Sequence[Tensor], *,
        decayed: Sequence[bool], step: Tensor, master: Sequence[Tensor] | None = None, others: Sequence[Tensor] = (),
        factors: Tensor | None = None, **hyper: Tensor,
    ) -> None:  # fmt: skip
        tensors = {"params": params, "grads": grads, "first": first, "second": second, "master": master}
        self.models = check("adamw", **tensors, step=step, **hyper)["K"]
        found = [*grads, *others]
        device, widest = step.device, params[0].dtype if params else found[0].dtype
        refuse_host("adamw", "grads[0]", found[0])
        if len(decayed) != len(params):
            raise KernelError(f"adamw: decayed has {len(decayed)} entries for {len(params)} tensors")
        tensors["grads"] = found
        refuse_unaligned("adamw", tensors)
        self.kept, self.step, self.factors = tensors, step, factors
        self.hyper = torch.stack([hyper[name] for name in OPS["adamw"].hyper])
        numel = [each.numel() // self.models for each in found]
        self.tile = configuration("adamw", width=max(numel), dtype=widest, chip=chip_of(device))
        blocks = [(i, start) for i, n in enumerate(numel) for start in range(0, n, self.tile["block"])]
        self.moved = sum(i < len(params) for i, _ in blocks)
        self.blocks, self.align = len(blocks), ALIGNED if all(n % ALIGNED == 0 for n in numel) else 1

        def table(values: Sequence[float], dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        self.addresses = [None if t is None else table([each.data_ptr() for each in t]) for t in tensors.values()]
        self.where = [table([i for i, _ in blocks]), table([start for _, start in blocks]), table(numel)]
        self.decayed = table([float(each) for each in decayed], torch.float32)
        self.partial = torch.empty(self.models, self.blocks, dtype=torch.float32, device=device)
        self.scalars = torch.empty(8, self.models, dtype=torch.float32, device=device)
        self.clipped = self.scalars[0]
        self.norm = torch.empty(self.models, dtype=torch.float32, device=device)
        self.types = {"PARAM": TYPES[widest], "GRAD": TYPES[found[0].dtype]}

    def update(self, *, measured: bool = False) -> None:
        """One optimizer step of every model from the gradients as they are now.

        ``measured``: ``GradientNoise.add`` made them, and left their squares on the way.
        """
        record("adamw", "triton")
        tile, grid = self.tile.constants | self.tile.launch, (self.blocks, self.models)
        table = {"ALIGN": self.align} | tile
        if not measured:
            _adamw_square[grid](self.addresses[1], *self.where, self.partial, GRAD=self.types["GRAD"], **table)
        sums = self.partial, self.hyper, self.step, self.norm, self.scalars
        _adamw_scalars[(self.models,)](*sums, self.blocks, **tile)
        if self.moved:
            _adamw_update[self.moved, self.models](
                *self.addresses, *self.where, self.decayed, self.factors, self.hyper, self.scalars,
                **self.types, **table,
            )  # fmt: skip


def least_bytes(elements: int, size: int, *, master: bool = False) -> int:
    """That an update reads and writes, of parameters and gradients at ``size`` bytes an element."""
    return (3 * size + 8 + 16 if master else 4 * size + 16) * elements
