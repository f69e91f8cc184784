"""A run store of a known law, and a browser to read pages with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.report.analysis import Analysis, analyse
from isoflop.runs import Recorder, RunStore
from report.browser import Browser
from report.known import add_purposes
from report.made import SIZES, TOKENS, record_finished


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Fifteen finished runs whose losses follow ``true_loss`` within 0.2 %, and one that diverged."""
    return make_grid(tmp_path / "study")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """The same, kept from test to test."""
    return make_grid(tmp_path_factory.mktemp("figures") / "study")


def make_grid(folder: Path) -> RunStore:
    """Fifteen finished runs and one that diverged, in a new store."""
    made = RunStore(folder)
    noise = np.random.default_rng(0)
    for n in SIZES:
        for d in TOKENS:
            record_finished(made, n, d, noise)
    with Recorder(made, {"n": 0}, counts={"N": 1e3, "D": 1e5, "C": 6e8}) as rec:
        rec.log(7, tokens=1e3, loss=float("nan"))
    return made


@pytest.fixture
def study(store: RunStore) -> RunStore:
    """The fifteen runs of a known L(N, D), and groups for everything else."""
    return add_purposes(store)


@pytest.fixture(scope="session")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Of such a store, which nobody writes to."""
    return analyse(make_grid(tmp_path_factory.mktemp("analysed") / "study"), compute="1e13 FLOP")


_FLAGS = (
    "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium, driven by its own chromedriver."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: isoflop[dev] brings it")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


@pytest.fixture
def browser(chromium: Any) -> Browser:
    """A light desktop window."""
    fresh = Browser(chromium)
    fresh.emulate()
    return fresh
