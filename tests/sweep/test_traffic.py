"""The simulation behind the page on scale runs, and its recorders lose no point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_simulated_recorders_keep_up_with_what_the_page_asks(root: Path) -> None:
    sizes = {"ISOFLOP_RECORDERS": "100", "ISOFLOP_RUNS": "1000"}
    done = subprocess.run(
        [sys.executable, root / "bench" / "store_traffic.py", "--json"],
        capture_output=True, text=True, env=os.environ | sizes, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {row["what"].partition(",")[0]: row for row in json.loads(done.stdout)}
    assert {"begun", "appends", "points", "ended", "another"} <= found.keys()
    assert found["points"]["asked"] == 1000 * 10 / 600 * 100
    assert found["points"]["value"] > found["points"]["asked"]
