"""How commands print, data to standard output and progress to standard error, and how they read fields of a shape."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from isoflop.errors import ShapeError

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 110


def emit(value: Any, as_json: bool) -> None:
    """Print JSON, or the value as it prints itself."""
    print(json.dumps(value, indent=1) if as_json else value)


def states(summary: dict[str, int]) -> str:
    """How many runs are in which state, in words."""
    return ", ".join(f"{count} {state}" for state, count in sorted(summary.items())) or "no runs"


def plain(value: Any) -> str:
    """A fact as a person reads it."""
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or "none"
    if isinstance(value, dict):
        return " ".join(str(item) for item in value.values())
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return "unknown" if value is None else str(value)


def read_fields(words: Sequence[str]) -> dict[str, Any]:
    """Fields written NAME=VALUE, values as in TOML; a word that is none of TOML's is text."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ShapeError(f"--field {word!r} has no value", hint=f"write --field {word}=VALUE")
        try:
            given[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            given[key] = value
    return given


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output, wide enough to be read when piped; without a head where all headings are empty."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=any(headings))
    for heading in headings:
        table.add_column(escape(heading), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    piped = not sys.stdout.isatty()
    Console(width=_PIPED_WIDTH if piped else None).print(table)


def stderr() -> Console:
    """Where progress goes."""
    from rich.console import Console

    return Console(stderr=True)
