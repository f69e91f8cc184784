"""A store in a new folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.runs import RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store")
