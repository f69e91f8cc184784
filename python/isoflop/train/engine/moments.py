"""What each optimizer keeps of every parameter, as a table: sizes by the sizes of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isoflop.kernels.parameter_kinds import kind_of

Sizes = Mapping[str, tuple[int, ...]]
"""Of tensors of one model, by the names of its parameters."""


def _same(sizes: Sizes) -> Sizes:
    return sizes


def _outside_hidden(sizes: Sizes) -> Sizes:
    return {name: size for name, size in sizes.items() if kind_of(name) != "hidden"}


def _rows(sizes: Sizes) -> Sizes:
    return {name: size[:-1] if len(size) > 1 else size for name, size in sizes.items()}


def _columns(sizes: Sizes) -> Sizes:
    return {name: (*size[:-2], size[-1]) for name, size in sizes.items() if len(size) > 1}


MOMENTS: Mapping[str, Mapping[str, Callable[[Sizes], Sizes]]] = {
    "adamw": {"first": _same, "second": _same},
    "muon": {"first": _same, "second": _outside_hidden},
    "adafactor": {"row": _rows, "column": _columns},
}
"""By optimizer and kind of moment. Muon moves hidden matrices by their momentum alone, and all else by AdamW."""
