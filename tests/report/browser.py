"""A page as a person has it: opened, clicked, typed into, and read off again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any


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
