"""A law: one declaration of a formula, its inputs, its parameters and where it was printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import LawError, nearest
from isoflop.laws.power_sum import PowerSum


@dataclass(frozen=True)
class Parameter:
    """A constant of a law: what it means, its unit and the open or closed interval it lives in."""

    name: str
    meaning: str
    unit: str
    domain: tuple[float, float]


@dataclass(frozen=True)
class Law:
    """A scaling law: loss in nats per token as a function of N, D or C.

    Attributes:
        name: the name it is asked for by, as in ``iso.fit("chinchilla", ...)``.
        formula: the law as text; ``L`` on the left, inputs and parameters on the right.
        inputs: the columns it reads: N parameters, D tokens, C training FLOPs.
        parameters: its constants, in the order in which they are printed.
        source: paper and equation.
        form: which parameter plays which part; solvers and planners read this.
    """

    name: str
    formula: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    source: str
    form: PowerSum

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def predict(self, params: Mapping[str, float], **columns: ArrayLike) -> NDArray[np.float64]:
        """Loss (nats per token) at columns of inputs, broadcast against each other.

        Raises:
            LawError: a parameter or an input is missing, unknown, or an input is not positive and finite.
        """
        self._require("parameter", self.names, params)
        self._require("input", self.inputs, columns)
        arrays = np.broadcast_arrays(*(np.asarray(columns[name], dtype=np.float64) for name in self.inputs))
        for name, array in zip(self.inputs, arrays, strict=True):
            if not (np.isfinite(array).all() and (array > 0).all()):
                raise LawError(f"{self.name}: {name} must be positive and finite")
        vector = self.form.to_vector(params)
        return np.exp(self.form.log_loss(vector, dict(zip(self.inputs, arrays, strict=True))))

    def _require(self, kind: str, allowed: tuple[str, ...], given: Mapping[str, object]) -> None:
        for name in given:
            if name not in allowed:
                raise LawError(f"{self.name} has no {kind} {name!r}", hint=nearest(name, allowed))
        for name in allowed:
            if name not in given:
                raise LawError(f"{self.name} needs the {kind} {name!r}", hint=f"{self.name}: {self.formula}")
