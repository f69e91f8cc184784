"""The updates of the Triton engine, by optimizer, and the averages of what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from isoflop.kernels.adafactor import Adafactor
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.muon import Muon
from isoflop.kernels.noise import GradientNoise
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.kernels.signatures import OPS
from isoflop.shape import Shape
from isoflop.train.engine.moments import MOMENTS
from isoflop.train.engine.regime import Regime
from isoflop.train.engine.state import factors_of
from isoflop.train.optimizers import MUON_MOMENTUM, MUON_RMS


class Updates:
    """What moves K models: ``update()`` allocates nothing after the first call and never waits for the device.

    Args:
        params, grads: (K, ...) on the device, by name.
        steps: (K,) int64, updates made; each adds one.
        apart: whether gradients are those of micro-batches, which are added up in float32.

    Attributes:
        master: the parameters that are moved, float32: ``params`` themselves in that dtype.
        moments: by kind and name, as in ``moments.MOMENTS``; ``average`` by name, None where none is kept.
        summed: the gradients that an update reads.
        hyper: (K,) float64 by name; write there.
        adamw: what measures |g|, and moves all that has a second moment.
        norm: (K,) float32, |g| before the clipping of the last update.
        noise: of micro-batches, None where there is but one.
    """

    def __init__(
        self, shape: Shape, regime: Regime, params: Mapping[str, Tensor], grads: Mapping[str, Tensor], steps: Tensor,
        *, apart: bool,
    ) -> None:  # fmt: skip
        one = next(iter(params.values()))
        device, models = one.device, len(one)
        sizes = {name: tuple(each.shape[1:]) for name, each in params.items()}

        def wide(sizes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
            return {name: torch.zeros(models, *size, device=device) for name, size in sizes.items()}

        self.params = params
        self.master = params if one.dtype == torch.float32 else wide(sizes)
        self.moments = {kind: wide(of(sizes)) for kind, of in MOMENTS[regime.optimizer].items()}
        self.average = wide(sizes) if regime.averaged else None
        self.summed = wide(sizes) if apart else {name: grads[name] for name in params}
        self.steps = steps
        own = [name for name in params if name in self.moments.get("second", {})]
        rest = [name for name in params if name not in own]
        hyper = {name: regime.hyper[name].to(device) for name in OPS["adamw"].hyper}
        self.adamw = AdamW(
            [params[name] for name in own], [self.summed[name] for name in own],
            [self.moments["first"][name] for name in own], [self.moments["second"][name] for name in own],
            others=[self.summed[name] for name in rest], decayed=[kind_of(name) != "vector" for name in own],
            step=self.steps, master=None if self.master is params else [self.master[name] for name in own],
            factors=_factors(shape, regime, own, device) if own and _varied(regime) else None, **hyper,
        )  # fmt: skip
        self._newest = torch.ones(models, device=device)
        self.hyper = dict(zip(hyper, self.adamw.hyper, strict=True)) | {"newest": regime.hyper["newest"].to(device)}
        self.norm = self.adamw.norm
        self._others = [_OTHERS[regime.optimizer](self, rest, _factors(shape, regime, rest, device))] if rest else []
        self.noise: GradientNoise | None = None
        if apart:
            self.noise = GradientNoise(self.adamw, [grads[name] for name in [*own, *rest]])

    def update(self) -> None:
        """One step of every model from the gradients as they are now."""
        self.adamw.update(measured=self.noise is not None)
        for each in self._others:
            each.update()
        if self.average is not None:
            self._newest.copy_(self.hyper["newest"])
            for name, average in self.average.items():
                average.lerp_(self.master[name], self._newest.view(-1, *[1] * (average.ndim - 1)))

    def begin(self, params: Mapping[str, Tensor]) -> None:
        """Begin anew from ``params`` (K, ...) by name: no updates made, moments nought."""
        for group in (self.params, self.master, self.average or {}):
            for name, held in group.items():
                held.copy_(params[name])
        for held in (*(each for kind in self.moments.values() for each in kind.values()), self.steps):
            held.zero_()


class _Muon:
    """On matrices between widths; ``factors`` (tensors, 2, K) are alike for all of them."""

    def __init__(self, of: Updates, names: Sequence[str], factors: Tensor) -> None:
        self._hyper, self._factors = of.hyper, factors[0].double()
        given = [of.params, of.summed, of.moments["first"]]
        lr = of.hyper["lr"]
        self._muon = Muon(
            *([each[name] for name in names] for each in given),
            master=None if of.master is of.params else [of.master[name] for name in names],
            dtype=of.params[names[0]].dtype, rms=MUON_RMS, clipped=of.adamw.clipped,
            lr=lr, momentum=torch.full_like(lr, MUON_MOMENTUM), weight_decay=lr,
        )  # fmt: skip

    def update(self) -> None:
        for row, name, factor in ((0, "lr", self._factors[0]), (2, "weight_decay", self._factors[1])):
            torch.mul(self._hyper[name], factor, out=self._muon.hyper[row])
        self._muon.update()


def _adafactor(of: Updates, names: Sequence[str], factors: Tensor) -> Adafactor:
    """On everything: ``names`` are those of all parameters."""
    rows, columns = (of.moments[kind] for kind in ("row", "column"))
    return Adafactor(
        [of.params[name] for name in names], [of.summed[name] for name in names],
        [rows[name] for name in names], [columns.get(name) for name in names],
        master=None if of.master is of.params else [of.master[name] for name in names],
        rate=of.hyper["lr"], decay=of.hyper["weight_decay"], factors=factors, step=of.steps, clipped=of.adamw.clipped,
    )  # fmt: skip


_OTHERS: Mapping[str, Callable[[Updates, Sequence[str], Tensor], _Muon | Adafactor]] = {
    "muon": _Muon,
    "adafactor": _adafactor,
}
"""What moves parameters without a second moment of AdamW's, by optimizer."""


def _varied(regime: Regime) -> bool:
    return any(each.name != "standard" for each in regime.parametrisations)


def _factors(shape: Shape, regime: Regime, names: Sequence[str], device: torch.device) -> Tensor:
    """(tensors, 2, K) float32: what multiplies the learning rate and the decay of each parameter."""
    of_models = [[factors_of(shape, regime, of, kind_of(name)) for of in regime.parametrisations] for name in names]
    return torch.tensor(of_models, device=device).transpose(1, 2).contiguous()
