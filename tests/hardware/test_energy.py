"""Joules by the counters of processors and GPUs: they add up, wrap, end, and are not there at all."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isoflop.hardware.energy import Board, Energy, boards, energy, packages, unreadable

WRAPS = 1_000_000_000


def counter(folder: Path, name: str, microjoules: int) -> Path:
    package = folder / name
    package.mkdir(parents=True)
    (package / "energy_uj").write_text(f"{microjoules}\n")
    (package / "max_energy_range_uj").write_text(f"{WRAPS}\n")
    return package / "energy_uj"


def test_joules_add_up_over_packages_and_past_the_end_of_a_counter(tmp_path: Path) -> None:
    first, second = counter(tmp_path, "intel-rapl:0", 5_000_000), counter(tmp_path, "intel-rapl:1", 999_000_000)
    counter(tmp_path, "intel-rapl:0:0", 77)  # a part of package 0, counted in it
    taken = Energy(packages(tmp_path))
    assert taken.of == ("processor",)
    assert taken.joules() == 0.0
    first.write_text("7500000\n")
    second.write_text("1000000\n")
    assert taken.joules() == pytest.approx(2.5 + 2.0)
    second.unlink()
    assert taken.joules() is None
    second.write_text("3000000\n")
    assert taken.joules() is None, "what was lost in between is unknown"


def test_why_no_energy_is_counted_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unreadable(folder=tmp_path) == f"no counter of the processor's energy in {tmp_path}"
    file = counter(tmp_path, "intel-rapl:0", 5)
    file.unlink()
    assert unreadable(folder=tmp_path) == f"the counters in {tmp_path} may not be read by this user"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert unreadable("1234", tmp_path).endswith("; the GPU's needs nvidia-ml-py")
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace())
    assert unreadable("1234", tmp_path).endswith("; the GPU's driver shows none")


def test_a_machine_without_counters_has_no_joules(tmp_path: Path) -> None:
    assert Energy(packages(tmp_path)).joules() is None
    assert Energy([]).of == ()


class Nvml:
    """The part of ``pynvml`` that is called, with one GPU."""

    NVMLError = RuntimeError

    def __init__(self) -> None:
        self.millijoules: int | None = 5_000

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-1234":
            raise self.NVMLError(uuid)
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        assert handle == "GPU-1234"
        if self.millijoules is None:
            raise self.NVMLError("not supported")
        return self.millijoules


def test_joules_of_a_gpu_and_of_the_processor_are_added(tmp_path: Path) -> None:
    package, nvml = counter(tmp_path, "intel-rapl:0", 0), Nvml()
    taken = Energy([*packages(tmp_path), Board("1234", nvml)])
    assert taken.of == ("processor", "GPU")
    package.write_text("2000000\n")
    nvml.millijoules = 12_500
    assert taken.joules() == pytest.approx(2.0 + 7.5)


def test_a_gpu_that_counts_nothing_is_left_out(tmp_path: Path) -> None:
    package, nvml = counter(tmp_path, "intel-rapl:0", 0), Nvml()
    nvml.millijoules = None
    taken = Energy([*packages(tmp_path), Board("1234", nvml)])
    assert taken.of == ("processor",)
    package.write_text("1000000\n")
    assert taken.joules() == pytest.approx(1.0)


def test_nvml_has_the_calls_that_are_made_and_none_where_it_has_no_such_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: isoflop[gpu] brings it")
    for name in ("nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"):
        assert callable(getattr(nvml, name))
    assert issubclass(nvml.NVMLError, Exception)
    assert boards("of no machine") == []
    one: Any = SimpleNamespace(nvmlInit=lambda: None, NVMLError=RuntimeError)
    one.nvmlDeviceGetHandleByUUID, one.nvmlDeviceGetTotalEnergyConsumption = lambda uuid: uuid, lambda handle: 0
    monkeypatch.setitem(sys.modules, "pynvml", one)
    assert "GPU" in energy("1234").of
    assert "GPU" not in energy(None).of
