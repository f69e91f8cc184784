"""Tiles, warps and stages of every kernel as tables: ``configurations/<op>.toml``, none of it measured at run time.

A row of a table serves a ``chip`` ("sm_90", "gfx942"; absent: any), dtypes of so many ``bits`` (16 or 32; absent: any)
and widths up to ``width`` (absent: any); the other entries are numbers that the kernel is compiled with, ``warps`` (of
32 threads; a wavefront of AMD counts two) and ``stages`` (of loads in flight; 3 where absent) among them:

    [[entry]]
    chip = "sm_90"
    width = 64
    rows = 128
    columns = 64
    warps = 4

Before the rows, ``library_past`` is the widest row that a kernel takes itself: wider ones go to torch's libraries.

A user's own tables, of the same form and with rows that come before these, lie in the folder that the environment
variable ISOFLOP_CONFIGURATIONS names, else in ``$XDG_CONFIG_HOME/isoflop/configurations`` (``~/.config/isoflop/...``).
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from isoflop.errors import KernelError, nearest

SHIPPED = Path(__file__).with_name("configurations")
LANES = 64 if torch.version.hip else 32
"""Threads of a warp: an AMD wavefront has 64."""

_LAUNCH = ("warps", "stages")


@dataclass(frozen=True)
class Configuration(Mapping[str, int]):
    """One row of a table: what it serves, and its numbers by name."""

    numbers: Mapping[str, int]
    chip: str | None = None
    bits: int | None = None
    width: int | None = None

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def constants(self) -> dict[str, int]:
        """What the kernel takes as constants: ``rows = 64`` of the table is ROWS=64."""
        return {name.upper(): value for name, value in self.numbers.items() if name not in _LAUNCH}

    @property
    def launch(self) -> dict[str, int]:
        """What Triton takes at a launch on this machine's GPU: num_warps and num_stages."""
        return self.launch_on(LANES)

    def launch_on(self, lanes: int) -> dict[str, int]:
        """``launch`` on a chip whose warps have ``lanes`` threads."""
        return {"num_warps": max(1, self["warps"] * 32 // lanes), "num_stages": self.get("stages", 3)}

    def serves(self, chip: str | None, bits: float, width: float) -> bool:
        """Whether the row is meant for this chip, dtype and width."""
        return self.chip in (None, chip) and self.bits in (None, bits) and width <= (self.width or math.inf)


def configuration(
    op: str, *, width: int, dtype: torch.dtype, chip: str | None = None, beyond: str | None = None
) -> Configuration:
    """The row of ``op`` for rows of ``width`` elements of ``dtype``: the user's first, then the most specific.

    Raises:
        KernelError: an op without a table, a user's table that cannot be read, or a width beyond the widest row of the
            table; ``beyond`` is then the hint.
    """
    bits = 8 * dtype.itemsize
    rows = table(op, chip, user=folder())
    for row in rows:
        if row.serves(chip, bits, width):
            return row
    widest = max(row.width for row in rows if row.width and row.serves(chip, bits, 1))
    name = str(dtype).removeprefix("torch.")
    raise KernelError(f"{op} of {name} takes rows of up to {widest} elements, not {width}", hint=beyond)


@cache
def chip_of(device: torch.device) -> str | None:
    """The name that tables and compilers give the GPU ``device``, None for a host."""
    if device.type != "cuda":
        return None
    if torch.version.hip:
        return str(torch.cuda.get_device_properties(device).gcnArchName).partition(":")[0]
    return "sm_{}{}".format(*torch.cuda.get_device_capability(device))


def folder() -> Path:
    """Where a user's own tables are read, and a tuner writes them; it need not exist."""
    return _folder(*map(os.environ.get, ("ISOFLOP_CONFIGURATIONS", "XDG_CONFIG_HOME", "HOME")))


@cache
def _folder(named: str | None, config: str | None, home: str | None) -> Path:  # a Path made anew costs a launch 20 us
    return Path(named or Path(config or "~/.config", "isoflop", "configurations")).expanduser()


@cache
def table(op: str, chip: str | None, *, user: Path | None = None) -> tuple[Configuration, ...]:
    """The rows of ``op`` that can be chosen on ``chip``, in the order in which they are: chip, bits, width."""
    own = [] if user is None else sorted(entries(op, user), key=_order)
    kept: list[Configuration] = []
    for row in own + sorted(entries(op), key=_order):
        asked = row.bits or math.nan, row.width or math.inf
        if row.chip in (None, chip) and not any(earlier.serves(chip, *asked) for earlier in kept):
            kept.append(row)
    return tuple(kept)


def entries(op: str, user: Path | None = None) -> list[Configuration]:
    """Every row of the shipped table of ``op``, for any chip; or of the user's in that folder, none where it has none.

    Raises:
        KernelError: an op without a table, or a table that cannot be read.
    """
    path = SHIPPED / f"{op}.toml"
    if not path.exists():
        raise KernelError(f"there is no configuration of {op!r}", hint=nearest(op, ops()))
    shipped = _read(path)
    if user is None:
        return shipped
    own = user / path.name
    return _read(own, like=shipped[0]) if own.exists() else []


def library_past(op: str) -> float:
    """The widest row that the kernel of ``op`` takes rather than torch's libraries: the user's table says, or ours."""
    return _library_past(op, folder())


@cache
def _library_past(op: str, user: Path) -> float:
    for path in (user / f"{op}.toml", SHIPPED / f"{op}.toml"):
        limit = _parsed(path).get("library_past") if path.exists() else None
        if limit is not None:
            if type(limit) is not int or limit < 0:
                raise KernelError(f"{path}: library_past is {limit!r}; it must be a width, or 0 for torch's libraries")
            return limit
    return math.inf


def ops() -> list[str]:
    """What has a table."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def _order(row: Configuration) -> tuple[bool, bool, float]:
    return row.chip is None, row.bits is None, row.width or math.inf


def _read(path: Path, like: Configuration | None = None) -> list[Configuration]:
    try:
        rows = [_row(**entry) for entry in _parsed(path)["entry"]]
    except (KeyError, TypeError) as error:
        raise KernelError(f"{path} is no table of configurations: {error}") from error
    for row in rows:
        if any(type(value) is not int or value < 1 for value in row.values()):
            raise KernelError(f"{path}: numbers are integers from 1, not {dict(row)}")
        needed, given = (each.keys() - {"stages"} for each in (like or rows[0], row))
        if given != needed or "warps" not in given:
            raise KernelError(f"{path}: a row has {', '.join(sorted(given))}; needed: {', '.join(sorted(needed))}")
    return rows


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise KernelError(f"{path} is no table of configurations: {error}") from error


def _row(
    chip: str | None = None, bits: int | None = None, width: int | None = None, **numbers: int
) -> Configuration:  # fmt: skip
    return Configuration(MappingProxyType(numbers), chip, bits, width)
