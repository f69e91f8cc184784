"""The baseline of benchmarks: what takes longer of a loop beside it than it did fails the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARK = """
import time

def test_nap(benchmark):
    benchmark.pedantic(time.sleep, args=({seconds},), rounds=3)
"""


def run(folder: Path, seconds: float, baseline: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_nap.py").write_text(BENCHMARK.format(seconds=seconds))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--benchmark-only",
        "-p",
        "no:cacheprovider",
        f"--baseline={baseline}",
    ]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run([*command, str(folder)], cwd=folder, env=alone, capture_output=True, text=True, check=False)


def test_a_benchmark_that_takes_longer_than_it_did_fails_the_run(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "bench" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert "NOT CHECKED: the baseline has no processor of this kind" in run(tmp_path, 0.05, "check").stdout
    assert run(tmp_path, 0.05, "write").returncode == 0
    baseline = tmp_path / "baseline.json"
    ((here, names),) = json.loads(baseline.read_text()).items()
    assert names.keys() == {"test_nap.py::test_nap"}
    slower = run(tmp_path, 0.5, "check")
    assert slower.returncode == 1
    assert "WORSE" in slower.stdout
    faster = run(tmp_path, 0.005, "check")
    assert faster.returncode == 0
    assert "better" in faster.stdout
    baseline.write_text(json.dumps({"an abacus": names}))
    elsewhere = run(tmp_path, 0.5, "check")
    assert elsewhere.returncode == 0
    assert f"this processor: {here}\nNOT CHECKED" in elsewhere.stdout
    assert "beside another kind, an abacus" in elsewhere.stdout
    assert "WORSE" not in elsewhere.stdout
    assert run(tmp_path, 0.05, "write").returncode == 0
    assert json.loads(baseline.read_text()).keys() == {"an abacus", here}


def test_the_baseline_names_benchmarks_that_exist(root: Path) -> None:
    known = json.loads((root / "bench" / "baseline.json").read_text())
    assert known
    for name, ratio in (each for ratios in known.values() for each in ratios.items()):
        file, _, function = name.partition("::")
        assert f"def {function.rpartition('::')[2].partition('[')[0]}(" in (root / file).read_text()
        assert ratio > 0
