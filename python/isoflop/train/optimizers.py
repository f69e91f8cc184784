"""Optimizers by name, over parameters grouped by what their parametrisation gives them.

Every group has a ``scale``: its learning rate is that of the schedule times it. Weight decay acts on matrices and
tables, not on gains and biases.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from isoflop.errors import SpecError, nearest
from isoflop.kernels import reference as ops
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.train.adafactor import Adafactor
from isoflop.train.language_model import LanguageModel

Groups = list[dict[str, Any]]

MUON_MOMENTUM = 0.95
MUON_RMS = 0.2
"""Root mean square of Muon's changes at a learning rate of 1, about that of AdamW's, so that one learning rate serves
both (Liu et al. 2025, arXiv 2502.16982, section 2.2)."""


class Muon(torch.optim.Optimizer):
    """Muon (``ops.muon``) on matrices and stacks of matrices (..., O, I), changes of AdamW's size.

    The learning rate of a matrix is ``MUON_RMS`` sqrt(max(O, I)) times that of its group; its decay is not.
    """

    def __init__(self, params: Any, *, lr: float, momentum: float = MUON_MOMENTUM, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step from the gradients that the parameters hold; ``closure`` is not called."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros_like(param)
                size = MUON_RMS * math.sqrt(max(param.shape[-2:]))
                [moved], [mean] = ops.on_models(ops.muon)(
                    *([_stacked(tensor)] for tensor in (param, param.grad, state["momentum"])),
                    lr=group["lr"] * size,
                    momentum=group["momentum"],
                    weight_decay=group["weight_decay"] / size,
                    scaled=False,
                )
                param.copy_(moved.view_as(param))
                state["momentum"].copy_(mean.view_as(param))


def _stacked(matrices: Tensor) -> Tensor:
    return matrices.view(-1, *matrices.shape[-2:])


class Together:
    """Several optimizers, each with parameters of its own, as one."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = list(optimizers)

    @property
    def param_groups(self) -> Groups:
        """The groups of all."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of all in the form of one: parameters are numbered from the first optimizer to the last."""
        state: dict[int, Any] = {}
        groups: Groups = []
        for first, optimizer in self._numbered():
            own = optimizer.state_dict()
            state |= {first + index: each for index, each in own["state"].items()}
            groups += own["param_groups"]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        groups = iter(state["param_groups"])
        for first, optimizer in self._numbered():
            own = list(islice(groups, len(optimizer.param_groups)))
            end = first + _n_parameters(optimizer)
            held = {index - first: each for index, each in state["state"].items() if first <= index < end}
            optimizer.load_state_dict({"state": held, "param_groups": own})

    def _numbered(self) -> Iterator[tuple[int, torch.optim.Optimizer]]:
        first = 0
        for optimizer in self.optimizers:
            yield first, optimizer
            first += _n_parameters(optimizer)


def _n_parameters(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)


Optimizer = torch.optim.Optimizer | Together


def _adamw(groups: Groups, *, lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


def _adafactor(groups: Groups, *, lr: float, betas: tuple[float, float]) -> Optimizer:
    return Adafactor(groups, lr=lr)


def _muon(groups: Groups, *, lr: float, betas: tuple[float, float]) -> Optimizer:
    hidden = [group for group in groups if group["kind"] == "hidden"]
    rest = [group for group in groups if group["kind"] != "hidden"]
    return Together([Muon(hidden, lr=lr), _adamw(rest, lr=lr, betas=betas)])


OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {"adamw": _adamw, "adafactor": _adafactor, "muon": _muon}
"""AdamW of torch, fused; Adafactor, without a first moment, whose second one has no constant to choose; Muon on the
matrices between widths, AdamW on all else. ``betas`` are AdamW's alone."""


def parameter_groups(model: LanguageModel, optimizer: str = "adamw", *, weight_decay: float) -> Groups:
    """The parameters of ``model`` in groups: ``params``, ``kind``, ``scale`` and ``weight_decay`` of each."""
    of, shape = model.parametrisation, model.shape
    found: dict[tuple[Any, ...], list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        kind = kind_of(name)
        scale, decay = of.rate(kind, shape, optimizer), of.decay(kind, shape, optimizer)
        found[kind, scale, weight_decay * decay].append(parameter)
    return [
        {"params": params, "kind": kind, "scale": scale, "weight_decay": decay}
        for (kind, scale, decay), params in found.items()
    ]


def optimizer_of(
    model: LanguageModel, name: str = "adamw", *, lr: float, betas: tuple[float, float], weight_decay: float
) -> Optimizer:
    """The optimizer of that name over the parameters of ``model``.

    Raises:
        SpecError: no optimizer has that name.
    """
    if name not in OPTIMIZERS:
        raise SpecError(f"unknown optimizer {name!r}", hint=nearest(str(name), OPTIMIZERS))
    made = OPTIMIZERS[name](parameter_groups(model, name, weight_decay=weight_decay), lr=lr, betas=betas)
    set_rate(made, lr)
    return made


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group ``rate`` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
