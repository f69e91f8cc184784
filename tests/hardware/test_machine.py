"""What the machine is, read from files and tools that may be absent."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import isoflop
from isoflop import hardware


def test_info_is_json_and_names_the_versions() -> None:
    info = json.loads(json.dumps(hardware.info().to_dict()))
    assert info["isoflop"] == isoflop.__version__
    assert info["python"] == ".".join(map(str, sys.version_info[:3]))
    assert info["packages"]["numpy"] == version("numpy")


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="this system has no /proc/cpuinfo")
def test_instruction_sets_are_among_the_kernels_flags() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    assert set(hardware.info().instruction_sets) <= set(flags)


def test_cores_are_those_of_the_affinity_mask(tmp_path: Path) -> None:
    assert hardware.cores(tmp_path) == len(os.sched_getaffinity(0))


def test_a_containers_share_limits_the_cores(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert hardware.cores(tmp_path) == 0.5


def test_an_unlimited_container_has_all_cores(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert hardware.cores(tmp_path) == len(os.sched_getaffinity(0))


def test_a_containers_limit_is_the_memory(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       1024 kB\nMemFree: 1 kB\n")
    assert hardware.memory_bytes(tmp_path, meminfo) == 2**20
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.memory_bytes(tmp_path, meminfo) == 2**20
    (tmp_path / "memory.max").write_text("4096\n")
    assert hardware.memory_bytes(tmp_path, meminfo) == 4096


def test_memory_is_none_where_nothing_tells_it(tmp_path: Path) -> None:
    assert hardware.memory_bytes(tmp_path, tmp_path / "absent") is None


def test_available_memory_is_the_systems_or_what_a_container_leaves(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert hardware.available_bytes(tmp_path, meminfo) is None
    meminfo.write_text("MemTotal:       1024 kB\nMemFree: 1 kB\nMemAvailable:  512 kB\n")
    assert hardware.available_bytes(tmp_path, meminfo) == 2**19
    (tmp_path / "memory.max").write_text("10000\n")
    (tmp_path / "memory.current").write_text("8000\n")
    assert hardware.available_bytes(tmp_path, meminfo) == 2000
    (tmp_path / "memory.stat").write_text("anon 5000\ninactive_file 3000\n")
    assert hardware.available_bytes(tmp_path, meminfo) == 5000
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.available_bytes(tmp_path, meminfo) == 2**19


def test_the_cpu_is_named_from_cpuinfo(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert hardware.cpu_model(cpuinfo) == "Some CPU @ 2 GHz"


def test_gpus_are_parsed_from_the_drivers_rows() -> None:
    answer = "NVIDIA H100 80GB HBM3, 81559, 570.86.15\nNVIDIA T4, 15360, 570.86.15\n"
    assert [gpu.name for gpu in hardware.parse_gpus(answer)] == ["NVIDIA H100 80GB HBM3", "NVIDIA T4"]
    assert hardware.parse_gpus(answer)[1].memory_bytes == 15 * 2**30


def test_no_driver_means_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpus() == ()


def test_a_driver_that_fails_means_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpus() == ()
