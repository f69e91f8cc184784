"""Names of a package that are loaded on first use: its import is free, and a name costs its own module alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any


def export(package: str, home: Mapping[str, Iterable[str]], before: Callable[[], object] | None = None) -> None:
    """Make names attributes of a package, each read from its module when first asked for.

    The package names them for type checkers too, in imports that only these see.

    Args:
        package: its ``__name__``, from within its ``__init__``.
        home: names by the module below the package that defines them.
        before: what must not fail before one of them is loaded.
    """
    module = sys.modules[package]
    module.__dict__.update(_home={name: below for below, names in home.items() for name in names}, _before=before)
    module.__class__ = _Package


class _Package(ModuleType):
    """A package that keeps a name for what it exports, though a module below it is called the same."""

    _home: Mapping[str, str]
    _before: Callable[[], object] | None

    def __getattr__(self, name: str) -> Any:
        if name not in self._home:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if self._before is not None:
            self._before()
        value = getattr(importlib.import_module(f"{self.__name__}.{self._home[name]}"), name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # An import sets a module on the package above it: `plan` would be the module `plan`, once that is loaded.
        if not (name in self._home and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._home})
