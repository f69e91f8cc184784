"""A law: one declaration of a formula, its inputs, its parameters and where it was printed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import LawError, nearest
from isoflop.laws.code import LawCode, load_code
from isoflop.laws.formula import Formula, parse, powered
from isoflop.laws.latex import to_latex
from isoflop.laws.roles import DOMAINS, roles

INPUTS = {
    "N": "parameters",
    "D": "tokens",
    "C": "training FLOPs",
    "S": "optimizer steps",
    "M": "tokens per parameter, D/N",
    "U": "unique tokens",
    "C_min": "training FLOPs, batch far below critical",
    "S_min": "optimizer steps, batch far above critical",
}
"""Names that are inputs wherever a law does not say which are."""


@dataclass(frozen=True)
class Parameter:
    """A constant of a law: what it means, its unit and the interval it lives in.

    Attributes:
        role: of the names in :data:`isoflop.laws.roles.DOMAINS`. A *scale* is a positive coefficient, which fits move
            by its logarithm; all else moves as it is.
        start: interval that fits start from, or the name of an input, for the interval that the runs have of it; empty
            for the usual one of the role. It bounds nothing.
    """

    name: str
    meaning: str = ""
    unit: str = ""
    domain: tuple[float, float] = DOMAINS["scale"]
    role: str = "scale"
    start: tuple[float, float] | str = ""

    def __post_init__(self) -> None:
        if self.role not in DOMAINS:
            raise LawError(f"{self.name}: unknown role {self.role!r}", hint=nearest(self.role, DOMAINS))
        if not self.domain[0] < self.domain[1]:
            raise LawError(f"{self.name}: the domain {self.domain} is empty", hint="(low, high) with low < high")
        if not isinstance(self.start, str) and not self.domain[0] <= self.start[0] < self.start[1] <= self.domain[1]:
            raise LawError(f"{self.name}: start {self.start} is no interval of its domain {self.domain}")


@dataclass(frozen=True)
class Law:
    """A scaling law: one quantity, the loss in nats per token unless it says otherwise, as a function of its inputs.

    ``Law("L = E + A/N**alpha + B/D**beta")`` is a law as good as one that ships, where the extra ``symbolic`` is
    installed: its derivatives are derived, once, into a module in the user's cache folder.

    Attributes:
        formula: the law as text, as :func:`isoflop.laws.formula.parse` reads it.
        name: the name it is asked for by, as in ``iso.fit("chinchilla", ...)``; the formula, where none is given.
        inputs: the columns it reads, those of :data:`INPUTS` that the formula has unless given.
        parameters: its constants, in the order in which they are printed; unless given, every other name of the
            formula, with the domain of its role.
        source: paper and equation.
        note: what to know before using it.
        signed: inputs that may be zero or negative: they enter by their value, never by their logarithm; the output
            among them may be too, and is then fitted with ``log=False``.

    Raises:
        LawError: the formula does not parse; a name in it is neither an input nor a parameter; or, where neither
            inputs nor parameters are given, a name that is no input is raised to a power that is to be fitted.
    """

    formula: str
    name: str = ""
    inputs: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    source: str = ""
    note: str = ""
    signed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tree = self.tree
        inputs = tuple(self.inputs) or tuple(name for name in INPUTS if name in tree.names)
        if not inputs:
            like = powered(tree, ()) or tree.names
            raise LawError(
                f"{self.formula!r} has no input among {', '.join(INPUTS)}; its names are {', '.join(tree.names)}",
                hint=f"say which are columns of the runs: Law(..., inputs=({like[0]!r},))" if like else None,
            )
        for name in () if self.inputs or self.parameters else powered(tree, inputs):
            others = "".join(f"{known!r}, " for known in inputs)
            raise LawError(
                f"{name!r} in {self.formula!r} is no input: {name} to a fitted power is one number for all runs",
                hint=f"inputs are {', '.join(INPUTS)}; name others: Law(..., inputs=({others}{name!r}))",
            )
        parameters = tuple(self.parameters) or tuple(
            Parameter(name, domain=DOMAINS[role], role=role) for name, role in roles(tree, inputs).items()
        )
        for name, value in (("inputs", inputs), ("parameters", parameters), ("signed", tuple(self.signed))):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "name", self.name or self.formula)
        _agree(self, tree)

    @functools.cached_property
    def tree(self) -> Formula:
        """The formula, read."""
        return parse(self.formula)

    @property
    def output(self) -> str:
        """The quantity on the left: "L" for a loss."""
        return self.tree.output

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def latex(self) -> str:
        """The formula as LaTeX."""
        return to_latex(self.tree)

    @property
    def code(self) -> LawCode:
        """Its generated module: evaluation, coordinates of fits, derivatives.

        Raises:
            MissingExtra: a law that does not ship is derived for the first time, and sympy is not installed.
        """
        return load_code(self)

    def predict(self, params: Mapping[str, float], **columns: ArrayLike) -> NDArray[np.float64]:
        """The law's output at columns of inputs, broadcast against each other.

        Raises:
            LawError: a parameter or an input is missing, unknown, or an input is not positive and finite.
        """
        self._require("parameter", self.names, params)
        self._require("input", self.inputs, columns)
        arrays = [np.asarray(columns[name], dtype=np.float64) for name in self.inputs]
        for name, array in zip(self.inputs, arrays, strict=True):
            bad = np.flatnonzero(~(np.isfinite(array) & ((array > 0) | (name in self.signed))))
            if bad.size:
                rule = "finite" if name in self.signed else "positive and finite"
                raise LawError(
                    f"{self.name}: {name}, row {bad[0]}: {array.flat[bad[0]]:g}; every {name} must be {rule}"
                )
        vector = [np.float64(params[name]) for name in self.names]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        return np.array(np.broadcast_to(self.code.evaluate(vector, arrays), shape), dtype=np.float64)

    def declaration(self) -> dict[str, Any]:
        """The law as plain values, which :meth:`declared` reads back."""
        described = {
            p.name: {"role": p.role, "domain": list(p.domain), "meaning": p.meaning, "unit": p.unit}
            | ({"start": p.start if isinstance(p.start, str) else list(p.start)} if p.start else {})
            for p in self.parameters
        }
        return {
            "formula": self.formula,
            "inputs": list(self.inputs),
            "signed": list(self.signed),
            "source": self.source,
            "note": self.note,
            "parameters": described,
        }

    @classmethod
    def declared(cls, name: str, declaration: Mapping[str, Any]) -> Law:
        """The law of a declaration, such as a table of ``laws.toml``; a parameter's domain defaults to its role's."""
        parameters = tuple(
            Parameter(key, p["meaning"], p["unit"], tuple(p.get("domain", DOMAINS[p["role"]])), p["role"], _start(p))
            for key, p in declaration["parameters"].items()
        )
        return cls(
            formula=declaration["formula"],
            name=name,
            inputs=tuple(declaration["inputs"]),
            parameters=parameters,
            source=declaration["source"],
            note=declaration.get("note", ""),
            signed=tuple(declaration.get("signed", ())),
        )

    def _require(self, kind: str, allowed: tuple[str, ...], given: Mapping[str, object]) -> None:
        for name in given:
            if name not in allowed:
                raise LawError(f"{self.name} has no {kind} {name!r}", hint=nearest(name, allowed))
        for name in allowed:
            if name not in given:
                raise LawError(f"{self.name} needs the {kind} {name!r}", hint=f"{self.name}: {self.formula}")


def _start(declared: Mapping[str, Any]) -> tuple[float, float] | str:
    start = declared.get("start", "")
    return start if isinstance(start, str) else (float(start[0]), float(start[1]))


def _agree(law: Law, tree: Formula) -> None:
    """Refuse a formula and a list of names that differ."""
    known = (*law.inputs, *law.names)
    for name in known:
        if known.count(name) > 1:
            raise LawError(f"{name!r} is named twice among inputs and parameters of {law.formula!r}")
        if name not in tree.names:
            kind = "input" if name in law.inputs else "parameter"
            raise LawError(f"the {kind} {name!r} does not occur in {law.formula!r}", hint=nearest(name, tree.names))
    for name in tree.names:
        if name not in known:
            raise LawError(
                f"{name!r} in {law.formula!r} is neither an input nor a parameter", hint=nearest(name, known)
            )
    for name in law.signed:
        if name not in (*law.inputs, law.output):
            raise LawError(f"{name!r} is no input of {law.formula!r}", hint=nearest(name, (*law.inputs, law.output)))
    for parameter in law.parameters:
        start = parameter.start
        if isinstance(start, str) and start and start not in law.inputs:
            raise LawError(
                f"{parameter.name} starts at {start!r}, no input of {law.formula!r}", hint=nearest(start, law.inputs)
            )
