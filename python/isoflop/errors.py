"""What can go wrong, in words: every error names what was given and, in its hint, what to do."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Iterable
from types import ModuleType


class IsoflopError(Exception):
    """Base of every error this package raises on purpose.

    The first line says what was given and what was expected; ``hint`` says what to do about it.
    The command line prints both and exits with ``exit_code``, without a traceback.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class ShapeError(IsoflopError, ValueError):
    """A field of a :class:`~isoflop.Shape` is out of its domain."""

    exit_code = 2


class SpecError(IsoflopError, ValueError):
    """A study file or a run spec has an unknown key, a missing key or a wrong value."""

    exit_code = 2


class CorpusError(IsoflopError, ValueError):
    """A corpus is empty, unreadable, or too short for what is asked of it."""


class NotEnoughTokens(CorpusError):
    """A run asks for more tokens than its corpus has to train on: ``epochs`` times as many."""

    def __init__(self, message: str, *, hint: str | None = None, epochs: float = math.inf) -> None:
        super().__init__(message, hint=hint)
        self.epochs = epochs


class NotEnoughMemory(IsoflopError, MemoryError):
    """What is asked for is predicted to take more memory than there is; nothing was begun."""


class StoreError(IsoflopError, OSError):
    """A run store cannot be read or written."""


class NewerFormat(StoreError):
    """Something in a run store was written by a newer version."""

    def __init__(self, where: object, written: int, known: int) -> None:
        super().__init__(f"{where} has format {written}; this version reads up to {known}", hint="upgrade isoflop")


class RunTaken(StoreError):
    """Another process is writing a run, or has ended it."""


class RecorderWarning(UserWarning):
    """Something cannot be recorded as it is; the trainer goes on."""


class SourceError(IsoflopError, ValueError):
    """A file of another program's runs cannot be read, or does not say what its numbers are."""


class CheckpointError(IsoflopError, ValueError):
    """A checkpoint is damaged, or of a run that made other steps."""


class TimeIsOver(IsoflopError, TimeoutError):
    """A run has taken longer than it may."""


class LawError(IsoflopError, ValueError):
    """An unknown law or preset, or inputs a law does not take."""

    exit_code = 2


class FitError(IsoflopError, ValueError):
    """The data cannot be fitted: bad values, missing columns, too few runs, no convergence."""


class NotIdentifiable(FitError):
    """The design of the data does not determine the parameters asked for."""


class LacksData(FitError):
    """No run was made, or measured, as a figure needs it."""


class PlanError(IsoflopError, ValueError):
    """A question the planner cannot answer: an unreadable budget, a law without an optimum."""

    exit_code = 2


class KernelError(IsoflopError, ValueError):
    """Tensors that an op does not take: device, dtype, layout or sizes."""


class MissingExtra(IsoflopError, ImportError):
    """An optional dependency is not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known name closest to ``name``, or all of them where none is close."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or say exactly what to install.

    Raises:
        MissingExtra: ``module`` is not installed; the hint is the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise missing(module, extra=extra) from error


def missing(module: str, *, extra: str) -> MissingExtra:
    """The error for an optional dependency that is not installed."""
    return MissingExtra(f"{module} is not installed", hint=f"pip install 'isoflop[{extra}]'")
