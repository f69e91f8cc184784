"""One specialisation of a kernel, to be compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

from isoflop.kernels.configurations import Configuration


class Job(NamedTuple):
    """A kernel, its types by argument, what it is launched with, and further constants: None for what is absent.

    Pointers are aligned to 16 bytes; "i32:16" is a size divisible by 16, as a launch finds most widths. ``because``
    says why registers may spill, where they may; ``spills`` the most seen, where compiles of one source differ.
    """

    kernel: Any
    types: dict[str, str]
    configuration: Configuration
    constants: dict[str, Any] = {}  # noqa: RUF012
    because: str = ""
    spills: int = 0
