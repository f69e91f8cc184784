"""Small tiles for the interpreter, whose time goes by programs, by the door of a user's own tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch


@contextmanager
def tiles(**numbers: dict[str, int]) -> Iterator[None]:
    """Each op named has one row, of these numbers and one warp, that serves everything."""
    with TemporaryDirectory() as folder, patch.dict(os.environ, ISOFLOP_CONFIGURATIONS=folder):
        for op, row in numbers.items():
            lines = ["[[entry]]", *(f"{name} = {value}" for name, value in row.items()), "warps = 1"]
            Path(folder, f"{op}.toml").write_text("\n".join(lines))
        yield
