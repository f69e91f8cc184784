"""How first values, learning rates and the forward pass change with width: standard, and the maximal update of muP.

A parametrisation is a table: for each kind of parameter, powers of m = d_model / base_width. At the base width every
parametrisation is the standard one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from isoflop.errors import SpecError, nearest
from isoflop.kernels.parameter_kinds import Kind
from isoflop.shape import Shape


@dataclass(frozen=True)
class Powers:
    """Powers of m that multiply what the standard parametrisation has.

    Attributes:
        std: of the first values (:func:`isoflop.kernels.gpt_parameters.first_value`).
        rate: of the learning rate of Adam and of what moves like it.
        muon: of that of Muon, which moves hidden matrices alone.
        forward: of what the parameter makes of its input.
    """

    std: float = 0.0
    rate: float = 0.0
    muon: float = 0.0
    forward: float = 0.0


PARAMETRISATIONS: Mapping[str, Mapping[Kind, Powers]] = {
    "standard": {"embedding": Powers(), "hidden": Powers(), "output": Powers(), "vector": Powers()},
    "mup": {
        "embedding": Powers(std=0.5),
        "hidden": Powers(rate=-1.0, muon=-0.5),
        "output": Powers(std=0.5, forward=-1.0),
        "vector": Powers(),
    },
}
"""muP is Yang et al. 2022 (arXiv 2203.03466), table 8, for Adam, in the form that tied embeddings can have: tables keep
their spread and their learning rate at every width, the logits are divided by m. Muon's changes have all directions of
a matrix, and are larger in each by sqrt(width) where their numbers have the size of Adam's; that size of a direction is
what must stay (Yang, Simon and Bernstein 2023, arXiv 2310.17813, condition 1)."""


@dataclass(frozen=True)
class Parametrisation:
    """A row of :data:`PARAMETRISATIONS` and the width at which it is the standard one.

    Attributes:
        name: "standard" or "mup".
        base_width: d_model of the base; needed by all but the standard one.
        base_head: d_head of the base: attention scores are sqrt(base_head) / d_head times q k^T, not 1 / sqrt(d_head).
            None where heads have one width at every d_model, and the two are the same.

    Raises:
        SpecError: an unknown name, a base below one, a base where there is none or none where it is needed.
    """

    name: str = "standard"
    base_width: int | None = None
    base_head: int | None = None

    def __post_init__(self) -> None:
        if self.name not in PARAMETRISATIONS:
            raise SpecError(f"unknown parametrisation {self.name!r}", hint=nearest(str(self.name), PARAMETRISATIONS))
        for field in ("base_width", "base_head"):
            base = getattr(self, field)
            if base is not None and (isinstance(base, bool) or not isinstance(base, int) or base < 1):
                raise SpecError(f"{field} = {base!r} must be a positive whole number")
            if base is not None and self.name == "standard":
                raise SpecError(f"{field} = {base!r}; the standard parametrisation has no base", hint="use 'mup'")
        if self.name != "standard" and self.base_width is None:
            raise SpecError(
                f"parametrisation {self.name!r} needs base_width", hint="the d_model at which rates were tuned"
            )

    def ratio(self, shape: Shape) -> float:
        """m, the width of ``shape`` over that of the base; 1 where there is no base."""
        return shape.d_model / (self.base_width or shape.d_model)

    def std(self, kind: Kind, shape: Shape) -> float:
        """Multiplier of the spread of the first values of parameters of that kind."""
        return float(self.ratio(shape) ** self._powers(kind).std)

    def rate(self, kind: Kind, shape: Shape, optimizer: str = "adamw") -> float:
        """Multiplier of their learning rate."""
        powers = self._powers(kind)
        return float(self.ratio(shape) ** (powers.muon if (optimizer, kind) == ("muon", "hidden") else powers.rate))

    def decay(self, kind: Kind, shape: Shape, optimizer: str = "adamw") -> float:
        """Multiplier of their weight decay: learning rate times decay stay as they are; 0 for gains and biases."""
        return 0.0 if kind == "vector" else 1 / self.rate(kind, shape, optimizer)

    def forward(self, kind: Kind, shape: Shape) -> float:
        """Multiplier of what parameters of that kind make of their input: of the logits, for ``"output"``."""
        return float(self.ratio(shape) ** self._powers(kind).forward)

    def attention_scale(self, shape: Shape) -> float | None:
        """What q k^T is multiplied by; None for 1/sqrt(d_head)."""
        return None if self.base_head is None else math.sqrt(self.base_head) / shape.d_head

    def _powers(self, kind: Kind) -> Powers:
        return PARAMETRISATIONS[self.name][kind]


STANDARD = Parametrisation()
