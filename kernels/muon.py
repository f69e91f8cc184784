"""Muon: momentum whose update is made orthogonal, for matrices of K models (Jordan et al. 2024).

    m = mu m + g;   u = g + mu m (nesterov) or m;   x = orthogonalise(u)
    p = (1 - lr wd) p - lr s x,   s = max(1, O/I)^(1/2)

FLOPs an element, beside those of ``orthogonal``: 9. Minimum bytes an element at s bytes: 3 s + 8 (read g, m and p,
write m and p), which a GPU waits for; u and x, between the kernels, come on top.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import refuse_host
from isoflop.kernels.orthogonal import Room, block_tile, orthogonalise
from isoflop.kernels.signatures import OPS, check


@triton.jit
def _muon_momentum(G, FIRST, U, HYPER, CLIPPED, N, EACH: tl.constexpr, NESTEROV: tl.constexpr, BLOCK: tl.constexpr):
    """Grid (cdiv(N, BLOCK), K EACH). G, FIRST, U (K, EACH, N); HYPER (3, K) float64: lr, momentum, weight decay.

    CLIPPED (K,) float32, or None: what G is multiplied by.
    """
    matrix, at = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    live, at, model = at < N, matrix * N + at, matrix // EACH
    mu = tl.load(HYPER + tl.num_programs(1) // EACH + model).to(tl.float32)
    g = tl.load(G + at, mask=live, other=0.0).to(tl.float32)
    if CLIPPED is not None:
        g *= tl.load(CLIPPED + model)
    m = mu * tl.load(FIRST + at, mask=live, other=0.0) + g
    tl.store(FIRST + at, m, mask=live)
    tl.store(U + at, g + mu * m if NESTEROV else m, mask=live)


@triton.jit
def _muon_update(P, MASTER, X, HYPER, N, size, EACH: tl.constexpr, BLOCK: tl.constexpr):
    """Grid and tensors as those of ``_muon_momentum``: P, or MASTER of which P is then a rounded copy, moved along X.

    By lr ``size``.
    """
    matrix, at = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    live, at, model = at < N, matrix * N + at, matrix // EACH
    lr, decay = tl.load(HYPER + model), tl.load(HYPER + 2 * (tl.num_programs(1) // EACH) + model)
    p = tl.load((P if MASTER is None else MASTER) + at, mask=live, other=0.0).to(tl.float32)
    x = tl.load(X + at, mask=live, other=0.0).to(tl.float32)
    p -= (lr * decay).to(tl.float32) * p + lr.to(tl.float32) * size * x
    if MASTER is not None:
        tl.store(MASTER + at, p, mask=live)
    tl.store(P + at, p.to(P.dtype.element_ty), mask=live)


class Muon:
    """The optimizer of matrices of K models: room made once, then ``update()`` without allocation or host sync.

    Args:
        params, grads, first: sequences of (K, O, I) tensors, or stacks (K, E, O, I) of matrices, updated in place
            (gradients are read); the momenta ``first`` are float32. ``master``, float32, where given, is what is
            updated and ``params`` its rounded copy.
        lr, momentum, weight_decay: (K,) float64 arrays, rows of ``hyper`` from here on: write there.
        nesterov, scaled, steps: as in ``reference.muon``; ``dtype`` is that of the iterations.
        rms: where given, changes have this root mean square at a learning rate of 1, whatever ``scaled``.
        clipped: (K,) float32, what gradients are multiplied by, such as that of an ``AdamW``; 1 where None.

    Raises KernelError for tensors that ``signatures.check`` refuses, that are on no GPU, or that are no matrices.
    """

    def __init__(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], first: Sequence[Tensor], *,
        master: Sequence[Tensor] | None = None, nesterov: bool = True, scaled: bool = True, steps: int = 5,
        dtype: torch.dtype = torch.bfloat16, rms: float | None = None, clipped: Tensor | None = None, **hyper: Tensor,
    ) -> None:  # fmt: skip
        check("muon", params=params, grads=grads, first=first, master=master, **hyper)
        for index, param in enumerate(params):
            if param.dim() not in (3, 4):
                raise KernelError(
                    f"muon: params[{index}] has shape {tuple(param.shape)}; its axes are (K, O, I) or (K, E, O, I)",
                    hint="vectors and embeddings go to isoflop.kernels.adamw",
                )
        refuse_host("muon", "params[0]", params[0])
        masters: Sequence[Tensor | None] = master or [None] * len(params)
        self.tensors = list(zip(params, grads, first, masters, strict=True))
        self.hyper = torch.stack([hyper[name] for name in OPS["muon"].hyper])
        self.nesterov, self.scaled, self.steps, self.dtype = nesterov, scaled, steps, dtype
        self.rms, self.clipped = rms, clipped
        self._room: dict[torch.Size, tuple[Tensor, Room | None]] = {
            param.shape: (torch.empty(*_matrices(param).shape, device=param.device), None) for param in params
        }

    def update(self) -> None:
        """One step of every matrix from the gradients as they are now; the first call makes the room."""
        record("muon", "triton")
        for param, grad, first, master in self.tensors:
            u, room = self._room[param.shape]
            (matrices, height, width), tile = u.shape, block_tile(u)
            elements, form = height * width, {"EACH": matrices // len(param)} | tile.constants | tile.launch
            grid = triton.cdiv(elements, tile["block"]), matrices
            _muon_momentum[grid](grad, first, u, self.hyper, self.clipped, elements, NESTEROV=self.nesterov, **form)
            room = orthogonalise(u, steps=self.steps, dtype=self.dtype, out=room)
            self._room[param.shape] = u, room
            _muon_update[grid](param, master, room.x, self.hyper, elements, self._size(height, width), **form)

    def _size(self, height: int, width: int) -> float:
        """Of a change, as a multiple of the orthogonal matrix, whose root mean square is max(O, I)^(-1/2)."""
        if self.rms is not None:
            return float(self.rms * max(height, width) ** 0.5)
        return float(max(1.0, height / width) ** 0.5) if self.scaled else 1.0


def _matrices(param: Tensor) -> Tensor:
    """(K E, O, I) of a stack of E matrices a model, or of one."""
    return param.flatten(0, -3)
