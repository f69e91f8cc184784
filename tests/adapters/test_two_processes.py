"""Of a training over two processes one run is recorded, once, with the tokens of both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from adapters.models import only
from adapters.two_processes import LIBRARIES, STEPS, TOKENS
from isoflop.runs import RunStore


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_two_processes_make_one_run(library: str, tmp_path: Path, root: Path) -> None:
    pytest.importorskip(library)
    script = root / "tests" / "adapters" / "two_processes.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(root / "tests"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([*command, str(script), library, str(tmp_path)], env=environment, check=True, timeout=300)
    store = RunStore(tmp_path / "store")
    record = only(store)
    assert (record.status, record.attempt) == ("finished", 1)
    assert record.counts["D"] == STEPS * TOKENS
    points = store.points_of(record.id)
    logged = points["loss"] == points["loss"]
    assert points["step"][logged].tolist() == list(range(1, STEPS + 1))
    assert points["tokens"][logged].tolist() == [step * TOKENS for step in range(1, STEPS + 1)]
    assert (points["loss"][logged] > 0).all()
    assert record.result is not None
    assert record.result["tokens"] == STEPS * TOKENS
    assert not (tmp_path / "cache" / "isoflop" / "spool").exists()
