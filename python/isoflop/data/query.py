"""Sources with options, written as in an address: ``synthetic:santa-fe?alpha=1&seed=3``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import parse_qsl

from isoflop.errors import CorpusError, nearest

Value = int | float | str


def read_query(source: str, defaults: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
    """The name before ``?`` and the options after it, of the types of their defaults; whole numbers may be 1e6, others
    are finite.

    Raises:
        CorpusError: an unknown option, or a value of another type.
    """
    name, _, query = source.partition("?")
    options = dict(defaults)
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in defaults:
            raise CorpusError(f"unknown option {key!r} in corpus {source!r}", hint=nearest(key, defaults))
        options[key] = _value(text, key, defaults[key], source)
    return name, options


def _value(text: str, key: str, default: Value, source: str) -> Value:
    if isinstance(default, str):
        return text
    try:
        number = float(text)
        if isinstance(default, float) and math.isfinite(number):
            return number
        if isinstance(default, int) and number.is_integer():
            return int(number)
    except (ValueError, OverflowError):
        pass
    kind = "number" if isinstance(default, float) else "whole number"
    raise CorpusError(f"{key} = {text!r} in corpus {source!r} must be a {kind}")
