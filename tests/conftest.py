"""Fixtures and hypothesis profiles shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile("isoflop", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("isoflop")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parents[1]
