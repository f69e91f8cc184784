"""Fits and constants that several of the tests of fits begin from."""

from __future__ import annotations

import pytest

from fitting.synthetic import runs
from isoflop.fitting import Fit, fit


@pytest.fixture(scope="session")
def noisy() -> Fit:
    """Chinchilla's law of runs with noise of half a percent."""
    return fit("chinchilla", runs("chinchilla", 0.005))
