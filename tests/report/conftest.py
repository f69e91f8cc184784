"""Run stores of a known law, recorded without training, and a browser to read pages with."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.runs import Recorder, RunStore

SIZES = (1e3, 4e3, 1.6e4, 6.4e4, 2.56e5)
TOKENS = (1e5, 4e5, 1.6e6)
HOSTILE = "<script>alert(1)</script><!--<img src=x onerror=alert(2)>"
TRUTH = {"alpha_N": 0.11, "alpha_D": 0.16, "N_c": 2e6, "D_c": 2e7}


def true_loss(n: float, d: float) -> float:
    """Kaplan et al. 2020, eq. 1.5."""
    ratio = TRUTH["alpha_N"] / TRUTH["alpha_D"]
    return float(((TRUTH["N_c"] / n) ** ratio + TRUTH["D_c"] / d) ** TRUTH["alpha_D"])


def record_finished(
    made: RunStore, n: float, d: float, noise: np.random.Generator, points: int = 3, **spec: Any
) -> None:
    """A finished run whose loss follows ``true_loss`` within 0.2 %, with so many points from step 1 to 100."""
    loss = true_loss(n, d) * float(noise.normal(1, 0.002))
    with Recorder(made, {"n": n, "d": d, **spec}, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
        for step in np.geomspace(1, 100, points).round().astype(int).tolist():
            rec.log(step, tokens=d * step / 100, loss=loss * (100 / step) ** 0.1)
        rec.finish(loss=loss, loss_se=0.01, tokens=d)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Fifteen finished runs whose losses follow ``true_loss`` within 0.2 %, and one that diverged."""
    made = RunStore(tmp_path / "study")
    noise = np.random.default_rng(0)
    for n in SIZES:
        for d in TOKENS:
            record_finished(made, n, d, noise)
    with Recorder(made, {"n": 0}, counts={"N": 1e3, "D": 1e5, "C": 6e8}) as rec:
        rec.log(7, tokens=1e3, loss=float("nan"))
    return made


_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


class Browser:
    """A headless Chromium on one page at a time."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.run: Callable[..., Any] = driver.execute_script

    def open(self, url: str) -> None:
        """Load a page; what came before is forgotten."""
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(url)

    def emulate(self, *, width: int = 1280, **media: str) -> None:
        """A window of a width, or ``scheme="dark"``, or ``media="print"``."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": media.get("scheme", "light")}]
        asked = {"media": media.get("media", ""), "features": features}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", asked)

    def until(self, condition: str, seconds: float = 60) -> Any:
        """Wait for a script's expression to hold; returns its value."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {condition}")):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.05)
        return found

    def set(self, control: str, value: object) -> None:
        """What a person types into a field, or picks."""
        change = "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        self.run(f"{change} e.dispatchEvent(new Event('change'))", control, str(value))

    def errors(self) -> list[str]:
        """What the console says since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened."""
        logged = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [each["params"]["request"]["url"] for each in logged if each["method"] == "Network.requestWillBeSent"]


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
