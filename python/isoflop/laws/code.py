"""Generated modules of laws: the ones that ship, and those of users' laws in their cache folder."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import require

if TYPE_CHECKING:
    from isoflop.laws.law import Law

Array = NDArray[np.float64]

EMITTED = 3
"""Version of what :mod:`isoflop.laws.emit` writes; part of the name of a cached module."""


class LawCode(Protocol):
    """What a generated module holds, for p parameters and k inputs.

    *Inner* coordinates u are those that fits move: the logarithm of a scale, referred to inputs x/x0 with ln x0 = c, a
    factor of either sign referred to them likewise, and every other parameter as it is. Kernels run over a block of n
    points and may be compiled by numba as they stand.

    Attributes:
        NAMES, INPUTS, OUTPUT, LATEX: of the law.
        LOWER, UPPER: bounds of u, (p,).
        START: interval of natural parameters that fits start from, the input whose range it is, or "" for the usual one
            of its role, (p,).
        LOG: which parameters enter by their logarithm, (p,).
        CENTRED: inputs whose c may be chosen freely, (k,); for the others c is 0.
        RAW: inputs that kernels read from x, (k,).
        POSITIVE: inputs that have a logarithm, (k,); the others may be zero or negative, and kernels read no z of them.
        LINEAR: parameters in which the output is linear, all of them together, given the rest.
    """

    NAMES: tuple[str, ...]
    INPUTS: tuple[str, ...]
    OUTPUT: str
    LATEX: str
    LOWER: tuple[float, ...]
    UPPER: tuple[float, ...]
    START: tuple[tuple[float, float] | str, ...]
    LOG: tuple[bool, ...]
    CENTRED: tuple[bool, ...]
    RAW: tuple[bool, ...]
    POSITIVE: tuple[bool, ...]
    LINEAR: tuple[int, ...]

    def evaluate(self, p: Sequence[Any], x: Sequence[Any]) -> Any:
        """The formula as printed: natural parameters (p, ...) and inputs (k, ...), arrays that broadcast."""

    def natural(self, u: Array, c: Array) -> Array:
        """Natural parameters (..., p) of inner coordinates (..., p), with c (k,)."""

    def inner(self, p: Array, c: Array) -> Array:
        """The way back."""

    def natural_jacobian(self, u: Array, c: Array) -> Array:
        """d natural / d inner at one u (p,), shape (p, p)."""

    def value(self, u: Array, z: Array, x: Array, f: Array) -> None:
        """Fill f (n,) with the output at z = ln x - c (k, n) and x (k, n)."""

    def jacobian(self, u: Array, z: Array, x: Array, f: Array, j: Array) -> None:
        """Fill f (n,) and j (p, n), j[m] = df/du_m."""

    def curvature(self, u: Array, z: Array, x: Array, s: Array, h: Array) -> None:
        """Add sum_i s_i d2f_i/du_a du_b to h (p, p), its lower triangle."""


@functools.cache
def load_code(law: Law) -> LawCode:
    """The generated module of a law: the shipped one, or one in the cache, derived if it is not yet there.

    Raises:
        MissingExtra: it has to be derived and sympy is not installed.
    """
    from isoflop.laws.catalogue import LAWS

    asked = _essence(law)
    own = [LAWS[law.name]] if law.name in LAWS else []
    for shipped in itertools.chain(own, LAWS.values()):  # the rest are read only where its name is none of theirs
        if _essence(shipped) == asked:
            return cast(LawCode, importlib.import_module(f"isoflop.laws.generated.{module_name(shipped.name)}"))
    key = hashlib.sha256(json.dumps([EMITTED, asked]).encode()).hexdigest()[:16]
    name = f"isoflop_law_{key}"
    if name not in sys.modules:
        path = cache_folder() / f"{name}.py"
        if not path.exists():
            require("sympy", extra="symbolic")
            from isoflop.laws.emit import emit

            _write(path, emit(law))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return cast(LawCode, sys.modules[name])


def _essence(law: Law) -> list[Any]:
    """What a module is derived from."""
    return [law.formula, law.inputs, law.signed, [(p.name, p.role, *p.domain, p.start) for p in law.parameters]]


def module_name(law: str) -> str:
    """File name of a shipped law's module, without its ending."""
    return law.replace("-", "_")


def cache_folder() -> Path:
    """Where users' laws are kept: ``$XDG_CACHE_HOME/isoflop/laws``, or the same in a temporary folder."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "isoflop" / "laws"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"isoflop-{os.getuid()}" / "laws"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(path: Path, text: str) -> None:
    """Whole or not at all, whoever else writes it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        part.write(text)
    Path(part.name).replace(path)
