"""Adafactor on parameters of K models on a device, in operations of torch that a CUDA graph can hold.

They are those of :func:`isoflop.train.adafactor.adafactor`, which see, into tensors that are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.train.adafactor import EPS

DECAY = -0.8  # of the share of the newest squares in the moments, as a power of the updates made


class _Parameter(NamedTuple):
    """With what its update reads and works in; ``rate``, ``keep`` and ``one`` are (K,), (K, matrices) of a stack."""

    rounded: Tensor
    value: Tensor
    grad: Tensor
    row: Tensor
    column: Tensor | None
    change: Tensor
    square: Tensor
    row_mean: Tensor
    column_mean: Tensor | None
    rate: Tensor
    keep: Tensor
    one: Tensor


class Adafactor:
    """The optimizer of K models: ``update()`` allocates nothing and never waits for the device.

    Args:
        params, master, grads: (K, ...) by name; ``master``, float32, is moved and ``params`` are its rounded copy, or
            the same.
        moments: ``row`` and ``column`` by name, as in ``moments.MOMENTS``.
        hyper: rows of ``AdamW.hyper``, of which the learning rate and the weight decay are read.
        factors: (tensors, 2, K) float32, what multiplies the rate and the decay of each.
        step: (K,) int64, updates made, this one among them; ``clipped`` (K,) float32, what gradients are multiplied by.
    """

    def __init__(
        self, params: Mapping[str, Tensor], master: Mapping[str, Tensor], grads: Mapping[str, Tensor],
        moments: Mapping[str, Mapping[str, Tensor]], *, hyper: Mapping[str, Tensor], factors: Tensor, step: Tensor,
        clipped: Tensor,
    ) -> None:  # fmt: skip
        self._rate, self._decay, self._step, self._clipped = hyper["lr"], hyper["weight_decay"], step, clipped
        self._factors, self._both = factors[:, 0], factors[:, 0] * factors[:, 1]
        self._rates, self._keeps = torch.empty_like(self._both), torch.empty_like(self._both)
        self._past, self._share = torch.empty_like(hyper["lr"]), torch.empty_like(clipped)
        largest = max(each.numel() for each in params.values())
        scratch = [torch.empty(largest, device=step.device) for _ in range(2)]
        self._parameters = [
            _parameter(
                (params[name], master[name], grads[name]), moments["row"][name], moments["column"].get(name), scratch,
                self._rates[index], self._keeps[index],
            )
            for index, name in enumerate(params)
        ]  # fmt: skip

    def update(self) -> None:
        """One step of every parameter from the gradients as they are now."""
        self._past.copy_(self._step).pow_(DECAY)
        self._share.copy_(self._past)
        self._share_of_rate(self._rates, self._factors, self._rate)
        torch.mul(self._rate, self._decay, out=self._past)
        self._share_of_rate(self._keeps, self._both, self._past)
        self._keeps.neg_().add_(1.0)
        for of in self._parameters:
            _move(of, self._clipped, self._share)

    def _share_of_rate(self, into: Tensor, factors: Tensor, rate: Tensor) -> None:
        into.copy_(rate.expand_as(into))
        into.mul_(factors)


def _parameter(
    given: Sequence[Tensor], row: Tensor, column: Tensor | None, scratch: Sequence[Tensor], rate: Tensor, keep: Tensor
) -> _Parameter:
    rounded, value, grad = given
    change, square = (each[: value.numel()].view(value.shape) for each in scratch)
    column_mean = None if column is None else torch.empty_like(column)
    one = rate if column is None else row[..., 0]
    rate, keep = (_beside(each, one).expand_as(one) for each in (rate, keep))
    return _Parameter(
        rounded, value, grad, row, column, change, square, torch.empty_like(row), column_mean, rate, keep,
        torch.empty_like(one),
    )  # fmt: skip


def _move(of: _Parameter, clipped: Tensor, share: Tensor) -> None:
    change, square, one = of.change, of.square, of.one
    change.copy_(of.grad)
    change.mul_(_beside(clipped, change))
    torch.mul(change, change, out=square).add_(EPS["square"])
    if of.column is None or of.column_mean is None:
        of.row.lerp_(square, _beside(share, square))
        torch.rsqrt(of.row, out=square)
    else:
        torch.mean(square, -1, out=of.row_mean)
        torch.mean(square, -2, out=of.column_mean)
        of.row.lerp_(of.row_mean, _beside(share, of.row))
        of.column.lerp_(of.column_mean, _beside(share, of.column))
        torch.mean(of.row, -1, out=one)
        # Divided first: the product of two small moments is 0 in float32.
        torch.div(of.row, one[..., None], out=of.row_mean)
        torch.mul(of.row_mean[..., None], of.column[..., None, :], out=square).rsqrt_()
    change.mul_(square)
    torch.mul(change, change, out=square)
    torch.mean(square, tuple(range(one.ndim, square.ndim)), out=one)
    torch.div(of.rate, one.sqrt_().clamp_(min=1.0), out=one)
    of.value.mul_(_beside(of.keep, of.value)).addcmul_(change, _beside(one, change), value=-1.0)
    if of.rounded is not of.value:
        of.rounded.copy_(of.value)


def _beside(numbers: Tensor, tensor: Tensor) -> Tensor:
    """``numbers``, (K,) or of each matrix of a stack, beside ``tensor`` of more axes."""
    return numbers[(..., *[None] * (tensor.ndim - numbers.ndim))]
