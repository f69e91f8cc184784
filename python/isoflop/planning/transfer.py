"""What pre-training is worth in data of the target: the tokens it stands for when few are at hand to fine-tune on.

D_T = k D_F^a N^b        D_E = D_F + D_T        (Hernandez 2021, arXiv 2102.01293, eq 1.1, 1.2)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.presets import Preset
from isoflop.planning.basis import with_constants
from isoflop.planning.page import Page, Paged, credits, quantity

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_LABELS = {
    "transferred": ("D_T", "data of the target that pre-training stands for"),
    "effective": ("D_E", "data that training from nothing would need"),
    "multiplier": ("D_E/D_F", "times the data at hand"),
    "worth": ("b/a", "exponent: a model k times as large is worth k^(b/a) times the data"),
}


@dataclass(frozen=True)
class Transfer(Paged):
    """A model that was trained on much of one kind of data, and is to learn from little of another.

    Attributes:
        n_params, finetune: N, and D_F at hand, in the law's unit of data.
        transferred, effective, multiplier: D_T, D_E = D_F + D_T and D_E/D_F.
        worth: b/a: as much as k times the parameters, k^(b/a) times the data give.
        intervals: of these four; None for published sets.
        level: of the intervals.
        law, source, label, warnings: as of :class:`isoflop.Plan`.
    """

    n_params: float
    finetune: float
    transferred: float
    effective: float
    multiplier: float
    worth: float
    intervals: dict[str, tuple[float, float]] | None
    level: float
    law: str
    source: str
    label: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"warnings": list(self.warnings)}

    @property
    def page(self) -> Page:
        """As it is shown."""
        known = self.intervals or {}
        rows = [quantity(symbol, getattr(self, k), known.get(k), meaning) for k, (symbol, meaning) in _LABELS.items()]
        head = f"{self.n_params:.4g} parameters, pre-trained, fine-tuned on {self.finetune:.4g} of the target"
        remarks = [f"{self.level:.0%} intervals"] if self.intervals is not None else []
        return Page(head, rows, credits(self.law, self.source, "", remarks, self.warnings))


def transfer(
    n_params: float, finetune: float, law: str | Fit | Preset = "hernandez-text", *, level: float = 0.95
) -> Transfer:
    """How much data of the target pre-training is worth to a model of N parameters.

    Args:
        n_params: N, without embeddings in the published sets.
        finetune: D_F at hand, in the law's unit (characters in the published sets).
        law: a fit of ``hernandez``, or the name of a published set: "hernandez-text", "hernandez-mix".
        level: of the intervals that a fit gives.

    Raises:
        PlanError: sizes that are not positive and finite, or a law of something else.
        LawError: no published set of that name.
    """
    for name, value in (("n_params", n_params), ("finetune", finetune)):
        if not 0 < value < math.inf:
            raise PlanError(f"{name} = {value!r} of a transfer", hint="a positive number")
    basis = with_constants(law, ("D_F", "N"), "D_T")

    def answers(draws: Array) -> Array:
        at = {"D_F": np.float64(finetune), "N": np.float64(n_params)}
        found = np.broadcast_to(basis.law.code.evaluate(list(draws.T), [at[k] for k in basis.law.inputs]), len(draws))
        worth = draws[:, basis.law.names.index("b")] / draws[:, basis.law.names.index("a")]
        return np.stack([found, finetune + found, 1 + found / finetune, worth], axis=1)

    own = dict(zip(_LABELS, answers(basis.params)[0].tolist(), strict=True))
    label, warnings = basis.label(N=n_params, D_F=finetune)
    return Transfer(
        n_params, finetune, **own, intervals=basis.intervals(tuple(_LABELS), answers, level), level=level,
        law=basis.name, source=basis.source, label=label, warnings=warnings,
    )  # fmt: skip
