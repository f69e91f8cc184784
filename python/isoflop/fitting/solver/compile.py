"""A law's emitted functions and the solver, compiled: once a machine, then read from numba's cache on disk.

The solver is compiled in units that are handed to each other as first-class functions, like the law's: one machine code
serves all laws, and no unit is compiled again inside another.
"""

from __future__ import annotations

import hashlib
import sys
import types as python_types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba
from numba import njit
from numba.extending import typeof_impl

from isoflop.fitting.solver import elementary
from isoflop.laws.law import Law

types: Any = numba.types

F8, I8, B1 = types.float64, types.int64, types.boolean
VECTOR, MATRIX, TENSOR = types.float64[::1], types.float64[:, ::1], types.float64[:, :, ::1]

VALUE = types.void(VECTOR, MATRIX, MATRIX, VECTOR)
JACOBIAN = types.void(VECTOR, MATRIX, MATRIX, VECTOR, MATRIX)
CURVATURE = types.void(VECTOR, MATRIX, MATRIX, VECTOR, MATRIX)
LAW = tuple(types.FunctionType(signature) for signature in (VALUE, JACOBIAN, CURVATURE))

RHO = (F8, F8, F8, B1)
"""delta, weights of predictions above and below, whether residuals are of logarithms."""
MAP = (VECTOR, MATRIX, VECTOR, VECTOR)
"""u0, F, lower and upper: the law's coordinates are u = u0 + F v, v inside its bounds."""
BLOCKS = (TENSOR, TENSOR, MATRIX, MATRIX, MATRIX)
"""z and x (blocks, inputs, size); observations y, one over the noise s, and weights w (blocks, size)."""
VERTEX = types.Tuple((F8, F8))(LAW[1], *MAP, *BLOCKS, F8, F8, B1, VECTOR)
"""Of what looks for the vertex of a sum of absolute residuals; such sums alone compile it."""

VERSION = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:8]
"""Units contain each other's code: a cache made with another version of any of these files must not be used."""

_SWAPPED = {"exp": elementary.exp, "log": elementary.log}
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_announced: list[str] = []

_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

Function = TypeVar("Function", bound=Callable[..., Any])


def loop(function: Function) -> Function:
    """Decorator: inlined into a unit; loops over points, whose sums may be taken in any order."""
    return cast(Function, njit(**_INNER, fastmath=elementary.FAST)(function))


def small(function: Function) -> Function:
    """Decorator: inlined into a unit; algebra of a few numbers, as it is written."""
    return cast(Function, njit(**_INNER)(function))


class Pointer(types.WrapperAddressProtocol):  # type: ignore[misc]
    """A unit as another takes it, its address and type found once: numba looks them up at each call, 40 us a unit."""

    def __init__(self, function: Any, signature: Any) -> None:
        result = function.get_compile_result(signature)
        # the unit's code is alive as long as it is
        self._function, self._signature = function, signature
        self.type = types.FunctionType(signature)
        self._address: int = result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self) -> Any:
        """As numba asks for it."""
        return self._signature


@typeof_impl.register(Pointer)
def _type(unit: Pointer, context: Any) -> Any:
    return unit.type


pointer = cache(Pointer)


class Kernels(NamedTuple):
    """A law over a block of points: f; f and df/du; the sum of s d2f/du2."""

    value: Any
    jacobian: Any
    curvature: Any

    @property
    def pointers(self) -> tuple[Pointer, Pointer, Pointer]:
        """The three as the solver's units take them."""
        return pointer(self.value, VALUE), pointer(self.jacobian, JACOBIAN), pointer(self.curvature, CURVATURE)


def unit(
    signature: Any, caller: str = "python", what: str = "the solver, and each law at its first use"
) -> Callable[[Function], Any]:
    """Decorator: machine code for one signature, cached on disk; says on stderr what it compiles where it is not.

    Args:
        signature: numba's.
        caller: who calls it: "python", "units" or "both"; the other's way in is not compiled.
        what: it is, in a user's words.
    """
    options: dict[str, Any] = {
        **_OPTIONS,
        "cache": True,
        "fastmath": elementary.FAST,
        "no_cpython_wrapper": caller == "units",
        "no_cfunc_wrapper": caller == "python",
    }

    def decorate(function: Function) -> Any:
        function.__qualname__ += f"_{VERSION}"
        dispatcher = njit(**options)(function)
        folder = Path(dispatcher.stats.cache_path)
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-*.nbi"
        if not _announced and not any(folder.glob(name)):
            _announced.append(what)
            sys.stderr.write(f"isoflop: compiling {what}, once; kept in {folder}\n")
            sys.stderr.flush()
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher

    return decorate


@cache
def kernels(law: Law) -> Kernels:
    """A law's functions, with exp and log of :mod:`~isoflop.fitting.solver.elementary` in them."""
    signatures = {"value": VALUE, "jacobian": JACOBIAN, "curvature": CURVATURE}
    made = {name: unit(signature, "both", f"the law {law.name}") for name, signature in signatures.items()}
    return Kernels(**{name: compile_(_swapped(getattr(law.code, name))) for name, compile_ in made.items()})


def _swapped(emitted: Callable[..., None]) -> Callable[..., None]:
    inside = {**emitted.__globals__, **{k: v for k, v in _SWAPPED.items() if k in emitted.__globals__}}
    clone = python_types.FunctionType(emitted.__code__, inside, emitted.__name__)
    clone.__module__ = emitted.__module__
    return clone
