"""What a call of the command line gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

GPT2 = "count --n-layer 12 --d-model 768 --n-head 12 --n-ctx 1024 --n-vocab 50257"


@dataclass
class Called:
    code: int
    out: str
    err: str


Call = Callable[..., Called]
