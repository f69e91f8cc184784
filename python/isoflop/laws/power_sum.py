"""The form that the shipped laws share: ln L = a ln(E + sum_k exp(c_k - g_k ln x_k)).

Two spellings of it are printed in the literature and both are kept:

* *additive* (``outer`` is None): a = 1, c = ln A, g = alpha, that is L = E + A/N**alpha + ...
* *scaled* (``outer`` names the outer exponent): term k is (x_c/x)**(alpha/outer), so g = alpha/outer and c = g ln x_c,
  that is L = ((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D.

The vector that solvers work with is ``[a, E, c_1, g_1, c_2, g_2, ...]``; entries that a law does not have are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXPONENT_BOUNDS = (1e-3, 5.0)
RATIO_BOUNDS = (1e-2, 50.0)


@dataclass(frozen=True)
class Term:
    """One power of one input: its variable, the parameter that scales it and the parameter in its exponent."""

    input: str
    coefficient: str
    exponent: str


@dataclass(frozen=True)
class PowerSum:
    """Which parameter plays which part in ln L = a ln(E + sum_k exp(c_k - g_k ln x_k))."""

    terms: tuple[Term, ...]
    floor: str | None = None
    outer: str | None = None

    @property
    def size(self) -> int:
        """Length of the solver's vector."""
        return 2 + 2 * len(self.terms)

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of the solver's vector; equal where the entry is fixed."""
        outer = EXPONENT_BOUNDS if self.outer else (1.0, 1.0)
        floor = (0.0, np.inf) if self.floor else (0.0, 0.0)
        rows = [outer, floor]
        for term in self.terms:
            if self.outer is None:
                exponent = EXPONENT_BOUNDS
            else:
                exponent = (1.0, 1.0) if term.exponent == self.outer else RATIO_BOUNDS
            rows += [(-np.inf, np.inf), exponent]
        low, high = np.array(rows).T
        return np.ascontiguousarray(low), np.ascontiguousarray(high)

    def to_vector(self, params: Mapping[str, float]) -> Array:
        """Solver's vector of natural parameters."""
        vector = [params[self.outer] if self.outer else 1.0, params[self.floor] if self.floor else 0.0]
        for term in self.terms:
            g = params[term.exponent] / vector[0]
            scale = np.log(params[term.coefficient])
            vector += [scale if self.outer is None else g * scale, g]
        return np.array(vector, dtype=np.float64)

    def to_natural(self, vectors: Array) -> dict[str, Array]:
        """Natural parameters of solver's vectors, shape (..., size) to (...) each."""
        outer = vectors[..., 0]
        natural: dict[str, Array] = {}
        if self.floor:
            natural[self.floor] = vectors[..., 1]
        for k, term in enumerate(self.terms):
            c, g = vectors[..., 2 + 2 * k], vectors[..., 3 + 2 * k]
            natural[term.coefficient] = np.exp(c if self.outer is None else c / g)
            natural[term.exponent] = g * outer
        if self.outer:
            natural[self.outer] = outer
        return natural

    def natural_jacobian(self, vector: Array, names: tuple[str, ...]) -> Array:
        """d(natural parameter i)/d(vector entry j), shape (len(names), size): the delta method's matrix."""
        jacobian = np.zeros((len(names), self.size))
        row = {name: i for i, name in enumerate(names)}
        if self.floor:
            jacobian[row[self.floor], 1] = 1.0
        for k, term in enumerate(self.terms):
            i, c, g = 2 + 2 * k, vector[2 + 2 * k], vector[3 + 2 * k]
            if self.outer is None:
                jacobian[row[term.coefficient], i] = np.exp(c)
            else:
                scale = np.exp(c / g)
                jacobian[row[term.coefficient], i] = scale / g
                jacobian[row[term.coefficient], i + 1] = -scale * c / g**2
                jacobian[row[term.exponent], 0] = g
            if term.exponent != self.outer:
                jacobian[row[term.exponent], i + 1] = vector[0]
        if self.outer:
            jacobian[row[self.outer]] = 0.0
            jacobian[row[self.outer], 0] = 1.0
        return jacobian

    def log_loss(self, vector: Array, columns: Mapping[str, Array]) -> Array:
        """ln L at columns of inputs, for one solver's vector."""
        inner = vector[1] + sum(
            np.exp(vector[2 + 2 * k] - vector[3 + 2 * k] * np.log(columns[term.input]))
            for k, term in enumerate(self.terms)
        )
        return np.asarray(vector[0] * np.log(inner), dtype=np.float64)
