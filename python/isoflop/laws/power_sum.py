"""The form that the shipped laws share: ln L = a ln(E + sum_k exp((k_k - g_k ln x_k)/a)).

Two spellings of it are printed in the literature and both are kept:

* *additive* (``outer`` is None): a = 1, k = ln A, g = alpha, that is L = E + A/N**alpha + ...
* *scaled* (``outer`` names the outer exponent a): term k is (x_c/x)**(g/a), so k = g ln x_c, that is
  L = ((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D; the term whose exponent is the outer one is *tied*: g = a.

The vector that solvers work with is ``[a, E, k_1, g_1, k_2, g_2, ...]``; entries that a law does not have are fixed.
In it k_k is ln L where that term stands alone, whatever a is, which keeps the vector well conditioned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXPONENT_BOUNDS = (1e-3, 5.0)
OUTER_BOUNDS = (1e-2, 5.0)
"""Below, the outer exponent makes the sum a maximum: the larger term alone."""


@dataclass(frozen=True)
class Term:
    """One power of one input: its variable, the parameter that scales it and the parameter in its exponent."""

    input: str
    coefficient: str
    exponent: str


@dataclass(frozen=True)
class PowerSum:
    """Which parameter plays which part in ln L = a ln(E + sum_k exp((k_k - g_k ln x_k)/a))."""

    terms: tuple[Term, ...]
    floor: str | None = None
    outer: str | None = None

    @property
    def size(self) -> int:
        """Length of the solver's vector."""
        return 2 + 2 * len(self.terms)

    @property
    def tied(self) -> tuple[bool, ...]:
        """Which terms have the outer exponent as their own."""
        return tuple(term.exponent == self.outer for term in self.terms)

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of the solver's vector; equal where the entry is fixed or tied."""
        rows = [OUTER_BOUNDS if self.outer else (1.0, 1.0), (0.0, np.inf) if self.floor else (0.0, 0.0)]
        for tied in self.tied:
            rows += [(-np.inf, np.inf), (1.0, 1.0) if tied else EXPONENT_BOUNDS]
        low, high = np.array(rows).T
        return np.ascontiguousarray(low), np.ascontiguousarray(high)

    def to_vector(self, params: Mapping[str, float]) -> Array:
        """Solver's vector of natural parameters."""
        vector = [params[self.outer] if self.outer else 1.0, params[self.floor] if self.floor else 0.0]
        for term in self.terms:
            exponent, scale = params[term.exponent], np.log(params[term.coefficient])
            vector += [scale if self.outer is None else exponent * scale, exponent]
        return np.array(vector, dtype=np.float64)

    def to_natural(self, vectors: Array) -> dict[str, Array]:
        """Natural parameters of solver's vectors, shape (..., size) to (...) each."""
        natural: dict[str, Array] = {}
        if self.floor:
            natural[self.floor] = vectors[..., 1]
        for i, term in enumerate(self.terms):
            k, g = vectors[..., 2 + 2 * i], vectors[..., 3 + 2 * i]
            natural[term.coefficient] = np.exp(k if self.outer is None else k / g)
            natural[term.exponent] = g
        return natural

    def natural_jacobian(self, vector: Array, names: tuple[str, ...]) -> Array:
        """d(natural parameter i)/d(vector entry j), shape (len(names), size): the delta method's matrix."""
        jacobian = np.zeros((len(names), self.size))
        row = {name: i for i, name in enumerate(names)}
        if self.floor:
            jacobian[row[self.floor], 1] = 1.0
        for i, term in enumerate(self.terms):
            at_k, k, g = 2 + 2 * i, vector[2 + 2 * i], vector[3 + 2 * i]
            at_g = 0 if self.tied[i] else at_k + 1
            if self.outer is None:
                jacobian[row[term.coefficient], at_k] = np.exp(k)
            else:
                scale = np.exp(k / g)
                jacobian[row[term.coefficient], at_k] = scale / g
                jacobian[row[term.coefficient], at_g] = -scale * k / g**2
            jacobian[row[term.exponent], at_g] = 1.0
        return jacobian

    def log_loss(self, vector: Array, columns: Mapping[str, Array]) -> Array:
        """ln L at columns of inputs, for one solver's vector."""
        a, floor = vector[0], vector[1]
        powers = [
            (vector[2 + 2 * i] - vector[3 + 2 * i] * np.log(columns[term.input])) / a
            for i, term in enumerate(self.terms)
        ]
        if floor > 0:
            powers.append(np.full_like(powers[0], np.log(floor)))
        inner = np.logaddexp.reduce(powers)
        return np.asarray(a * inner, dtype=np.float64)
