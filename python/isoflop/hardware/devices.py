"""Published accelerators by name, read once from ``devices.toml``; one that is not there is an error, never a guess."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, Self

from isoflop.errors import SpecError, nearest

Unit = Literal["matrix", "vector"]

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp4", "int8")
ACCUMULATORS = ("fp64", "fp32", "fp16", "int32")
_PER = ("chip", "package")
_TEXTS = ("name", "family", "per", "source", "retrieved", "note")
_NUMBERS = ("bandwidth_gb_s", "memory_gb")
_OPTIONAL_NUMBERS = ("link_gb_s", "tdp_w")
_OPTIONAL = (*_OPTIONAL_NUMBERS, "url", "parts", "part", "vector")
_REQUIRED = (*_TEXTS, *_NUMBERS, "aliases", "verified", "matrix")
_MAKER = re.compile(r"^(nvidia|google|amd)-")


@dataclass(frozen=True)
class Peak:
    """A dense rate in FLOP/s, integer operations a second for int8: operands of ``dtype`` summed in ``accumulate``."""

    unit: Unit
    dtype: str
    accumulate: str
    flops: float


@dataclass(frozen=True)
class Device:
    """One accelerator as published.

    Attributes:
        key: how it is asked for.
        peaks: dense rates of matrix and vector units.
        bandwidth: of its memory, bytes/s.
        memory: capacity in bytes, "GB" read as 1e9.
        link: bytes/s to other devices of its node, one direction; None where unknown.
        tdp: watts; None where the vendor gives none.
        per: what the numbers are of; a "package" has ``parts`` equal parts that software may see singly.
        verified: every number read in a vendor's page, or in a table that cites one and agrees with another.
    """

    key: str
    name: str
    aliases: tuple[str, ...]
    family: str
    peaks: tuple[Peak, ...]
    bandwidth: float
    memory: float
    link: float | None
    tdp: float | None
    per: str
    parts: int
    part: str
    source: str
    url: str
    retrieved: str
    verified: bool
    note: str

    def peak(self, dtype: str = "bf16", accumulate: str | None = None, unit: Unit | None = None) -> float:
        """Dense FLOP/s of ``dtype``: matrix units before vector units, summed in fp32 (int8 in int32, fp64 in fp64).

        Raises:
            SpecError: the device has no such rate; the hint lists those it has.
        """
        sums = accumulate or {"int8": "int32", "fp64": "fp64"}.get(dtype, "fp32")
        for peak in self.peaks:
            if (peak.dtype, peak.accumulate) == (dtype, sums) and unit in (None, peak.unit):
                return peak.flops
        has = ", ".join(f"{p.dtype} in {p.accumulate} ({p.unit})" for p in self.peaks)
        where = "" if unit is None else f" on {unit} units"
        raise SpecError(f"no published rate of {dtype} summed in {sums}{where} for {self.key}", hint=f"it has {has}")

    def one_part(self) -> Self:
        """The part of a package that software sees as one device: a GCD, a core. A chip is its own part."""
        n = self.parts
        return dataclasses.replace(
            self,
            key=self.key if n == 1 else f"{self.key}-{self.part.lower()}",
            name=self.name if n == 1 else f"{self.name}, one {self.part}",
            aliases=self.aliases if n == 1 else (),
            peaks=tuple(dataclasses.replace(peak, flops=peak.flops / n) for peak in self.peaks),
            bandwidth=self.bandwidth / n,
            memory=self.memory / n,
            link=None if self.link is None else self.link / n,
            tdp=None if self.tdp is None else self.tdp / n,
            per="chip" if n == 1 else self.part,
            parts=1,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and scalars, ready for JSON."""
        return dataclasses.asdict(self) | {
            "aliases": list(self.aliases),
            "peaks": [dataclasses.asdict(peak) for peak in self.peaks],
        }


def device(name: str | Device) -> Device:
    """The device of that name or alias; case, spaces and a leading maker's name do not matter. A device is itself.

    Raises:
        SpecError: none has that name, or several begin with it; the hint names them.
    """
    if isinstance(name, Device):
        return name
    if not isinstance(name, str):
        raise SpecError(f"a device is asked for by name, not {name!r} ({type(name).__name__})")
    wanted = _normal(name)
    if wanted in _KEYS:
        return DEVICES[_KEYS[wanted]]
    several = [key for key in DEVICES if wanted and key.startswith(f"{wanted}-")]
    if several:
        raise SpecError(f"{name!r} names several devices", hint=f"one of {', '.join(several)}")
    raise SpecError(f"unknown device {name!r}", hint=nearest(wanted, DEVICES))


def read_devices(text: str) -> Mapping[str, Device]:
    """Devices of a TOML text with the keys of ``devices.toml``.

    Raises:
        SpecError: not TOML, a key is missing, unknown or of the wrong type or domain, or two devices share a name.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError(f"the device table is not TOML: {error}") from error
    devices = {key: _device(key, table) for key, table in tables.items()}
    _keys(devices)
    return MappingProxyType(devices)


def _device(key: str, table: Any) -> Device:
    if not isinstance(table, dict):
        raise SpecError(f"device {key!r} is {table!r}; it must be a table")
    if key != _normal(key):
        raise SpecError(f"device key {key!r} must be lower case, of letters, digits and '-'", hint=f"{_normal(key)!r}")
    for name in table:
        if name not in (*_REQUIRED, *_OPTIONAL):
            raise SpecError(f"device {key!r} has an unknown key {name!r}", hint=nearest(name, (*_REQUIRED, *_OPTIONAL)))
    missing = [name for name in _REQUIRED if name not in table]
    if missing:
        raise SpecError(f"device {key!r} lacks {', '.join(missing)}")
    texts = {name: _text(key, name, table[name]) for name in _TEXTS}
    if texts["per"] not in _PER:
        raise SpecError(f"per of device {key!r} is {texts['per']!r}; it must be one of {', '.join(_PER)}")
    if not isinstance(table["verified"], bool):
        raise SpecError(f"verified of device {key!r} is {table['verified']!r}; it must be true or false")
    optional = {name: _number(key, name, table[name]) for name in _OPTIONAL_NUMBERS if name in table}
    link = optional.get("link_gb_s")
    parts = _parts(key, table)
    if (parts > 1) != (texts["per"] == "package"):
        raise SpecError(f"device {key!r} is per {texts['per']} of {parts}: a package has two parts or more, a chip one")
    return Device(
        key=key,
        aliases=_aliases(key, table["aliases"]),
        peaks=(*_peaks(key, "matrix", table["matrix"]), *_peaks(key, "vector", table.get("vector", {}))),
        bandwidth=_number(key, "bandwidth_gb_s", table["bandwidth_gb_s"]) * 1e9,
        memory=_number(key, "memory_gb", table["memory_gb"]) * 1e9,
        link=None if link is None else link * 1e9,
        tdp=optional.get("tdp_w"),
        parts=parts,
        part=_text(key, "part", table.get("part", "chip")),
        url=_text(key, "url", table.get("url", "")),
        verified=table["verified"],
        **texts,
    )


def _peaks(key: str, unit: Unit, table: Any) -> Iterator[Peak]:
    if not isinstance(table, dict):
        raise SpecError(f"{unit} of device {key!r} is {table!r}; it must be a table by dtype")
    for dtype, sums in table.items():
        if dtype not in DTYPES:
            raise SpecError(f"{unit} of device {key!r} has an unknown dtype {dtype!r}", hint=nearest(dtype, DTYPES))
        if not isinstance(sums, dict) or not sums:
            raise SpecError(f"{unit}.{dtype} of device {key!r} is {sums!r}; it must be a table by accumulator")
        for accumulate, rate in sums.items():
            if accumulate not in ACCUMULATORS:
                hint = nearest(accumulate, ACCUMULATORS)
                raise SpecError(f"{unit}.{dtype} of device {key!r} sums in {accumulate!r}", hint=hint)
            yield Peak(unit, dtype, accumulate, _number(key, f"{unit}.{dtype}.{accumulate}", rate) * 1e12)


def _number(key: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9 or not math.isfinite(value):
        raise SpecError(f"{name} of device {key!r} is {value!r}; it must be a positive number below 1e9")
    return float(value)


def _parts(key: str, table: dict[str, Any]) -> int:
    value = table.get("parts", 1)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1024:
        raise SpecError(f"parts of device {key!r} is {value!r}; it must be a whole number from 1")
    return value


def _text(key: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{name} of device {key!r} is {value!r}; it must be a text")
    return value


def _aliases(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(alias, str) and alias == _normal(alias) for alias in value):
        raise SpecError(f"aliases of device {key!r} are {value!r}; they must be a list of lower-case names")
    return tuple(value)


def _normal(name: str) -> str:
    return _MAKER.sub("", re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))


def _keys(devices: Mapping[str, Device]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for key, one in devices.items():
        for name in (key, *one.aliases):
            if name in keys:
                raise SpecError(f"devices {keys[name]!r} and {key!r} share the name {name!r}")
            keys[name] = key
    return keys


DEVICES: Mapping[str, Device] = read_devices(
    files("isoflop.hardware").joinpath("devices.toml").read_text(encoding="utf-8")
)
"""Every published device by key."""

_KEYS = _keys(DEVICES)
