"""Two results of ``isoflop bench``, measure by measure: how many times as fast the second is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isoflop.errors import SpecError

_PARTS = {"device", "date", "machine", "measured", "ops", "steps"}
_VERSIONS = ("torch", "triton", "numpy")


@dataclass(frozen=True)
class Line:
    """One measure that both results have.

    Attributes:
        kind: "ceiling", "op", "step", "energy" or "beside" (fits and counts, of any tool).
        name: the op and pass, the dtype of a ceiling, "training step", or the task.
        at: size, dtype and way, as far as the name does not say them.
        first, second: seconds, of a ceiling FLOP/s or bytes/s, of energy joules.
        ratio: how many times as fast the second is, or how many times less it takes.
        apart: whether the middle halves of both measurements lie apart; None where the file has no quartiles.
    """

    kind: str
    name: str
    at: str
    first: float
    second: float
    ratio: float
    apart: bool | None


@dataclass(frozen=True)
class Group:
    """All lines of one kind and name: the geometric mean of their ratios, the least and the greatest."""

    kind: str
    name: str
    lines: int
    mean: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Comparison:
    """Of two results.

    Attributes:
        first, second: device and date of each.
        differs: what of the machines and versions is not the same, in words.
        lines: what both measured.
        only_first, only_second: how many measures the other lacks.
    """

    first: str
    second: str
    differs: tuple[str, ...]
    lines: tuple[Line, ...]
    only_first: int
    only_second: int

    def groups(self) -> list[Group]:
        """One for each kind and name, in the order of the first result."""
        of: dict[tuple[str, str], list[float]] = {}
        for line in self.lines:
            of.setdefault((line.kind, line.name), []).append(line.ratio)
        return [
            Group(*key, len(ratios), math.exp(sum(map(math.log, ratios)) / len(ratios)), min(ratios), max(ratios))
            for key, ratios in of.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and scalars, ready for JSON."""
        return asdict(self) | {"groups": [asdict(group) for group in self.groups()]}


def compare_results(first: Path, second: Path) -> Comparison:
    """Compare two JSON files that ``isoflop bench`` wrote.

    Raises:
        SpecError: a file that cannot be read, is no such result, or has no measure that the other has.
    """
    one, other = _read(first), _read(second)
    left, right = dict(_measures(one)), dict(_measures(other))
    both = [key for key in left if key in right]
    if not both:
        raise SpecError(
            f"{first.name} ({one['device']}) and {second.name} ({other['device']}) have no measure in common",
            hint="compare two full results, or two of --quick, of one kind of device",
        )
    return Comparison(
        f"{one['device']}, {one['date']}",
        f"{other['device']}, {other['date']}",
        tuple(_differences(one, other)),
        tuple(_line(*key, left[key], right[key]) for key in both),
        len(left.keys() - right.keys()),
        len(right.keys() - left.keys()),
    )


@dataclass(frozen=True)
class _Measure:
    value: float
    low: float | None = None
    high: float | None = None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read: {error}", hint="a JSON file that isoflop bench wrote") from None
    if not isinstance(found, dict) or not set(found) >= _PARTS:
        raise SpecError(f"{path} is no result of isoflop bench", hint="a JSON file that isoflop bench wrote")
    return found


def _measures(result: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], _Measure]]:
    for each in result["measured"]:
        unit = "processor" if each["where"] == "cpu" else "GPU"
        yield ("ceiling", f"{each['kind']} {each['dtype']}, {unit}", each["library"]), _Measure(each["rate"])
    for each in result["ops"]:
        size = " x ".join(str(number) for number in each["size"].values())
        for way, time in each["times"].items():
            at = f"{size}, {each['dtype']}, {way}"
            yield ("op", f"{each['op']}, {each['phase']}", at), _Measure(time["median"], time["low"], time["high"])
    for each in result["steps"]:
        at = f"{each['models']} x {each['n']:.3g} parameters, {each['dtype']}, {each['variant']}"
        yield ("step", "training step", at), _Measure(each["with_host"])
        if each.get("joules"):  # results of versions that counted none have no such word
            yield ("energy", "joules of a training step", at), _Measure(each["joules"])
    for each in result.get("beside", ()):  # nor these
        yield ("beside", each["task"], f"{each['package']}, {each['how']}"), _Measure(each["seconds"])


def _line(kind: str, name: str, at: str, first: _Measure, second: _Measure) -> Line:
    ratio = second.value / first.value if kind == "ceiling" else first.value / second.value
    apart = None
    if first.low is not None and first.high is not None and second.low is not None and second.high is not None:
        apart = first.high < second.low or second.high < first.low
    return Line(kind, name, at, first.value, second.value, ratio, apart)


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    def versions(result: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        machine, packages = result["machine"], result["machine"].get("packages", {})
        said = [("device", result["device"]), ("processor", machine.get("cpu")), ("isoflop", machine.get("isoflop"))]
        return [*said, *((name, packages.get(name)) for name in _VERSIONS), ("quick", result.get("quick"))]

    for (name, here), (_, there) in zip(versions(first), versions(second), strict=True):
        if here != there:
            yield f"{name}: {here} against {there}"
