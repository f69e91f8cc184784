"""Rooflines: arithmetic from what ops state of themselves and from published ceilings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")

from isoflop.benchmark import ceilings, predict
from isoflop.benchmark.case import Work
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.roofline import CHIPS, WIDTHS, Row
from isoflop.benchmark.tables import roofline_table
from isoflop.errors import SpecError
from isoflop.hardware import DEVICES, Ceiling, device

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "kernels_roofline.py"


def row(op: str, phase: str, **sizes: int) -> Row:
    given = {"models": 2, "batch": 8, "seq": 512, "vocabulary": 4096} | sizes
    return next(r for r in predict(chips=["h100-sxm"], widths=[256], ops=[op], **given) if r.phase == phase)


# By hand, for 2 models of 4096 rows of 256 in bfloat16: FLOPs, and bytes, of the whole call.
M, D, V, K = 4096, 256, 4096, 2
BY_HAND = {
    ("linear", "forward"): (2 * M * D * D, 2 * (3 * M * D + D * D + D)),
    ("linear", "backward"): (4 * M * D * D, 2 * (3 * M * D + 2 * D * D + D)),
    ("add_norm", "forward"): (8 * M * D, 4 * M * D * 2),
    ("add_norm", "backward"): (14 * M * D, 4 * M * D * 2),
    ("norm_qkv", "forward"): (6 * M * D * D, 2 * (4 * M * D + 3 * D * D + 5 * D) + 8 * M + 4 * 512 * 64),
    ("attention", "forward"): (4 * 64 * 32 * 512 * 513 // 2, 2 * 4 * M * D + 4 * M * 4),
    ("attention", "backward"): (10 * 64 * 32 * 512 * 513 // 2, 2 * 8 * M * D + 4 * M * 4),
    ("activation", "forward"): (10 * M * 4 * D, 2 * 2 * M * 4 * D),
    ("activation", "backward"): (10 * M * 4 * D, 2 * 3 * M * 4 * D),
    ("mlp", "forward"): (16 * M * D * D, 2 * (2 * M * D + 8 * D * D + 7 * D)),
    ("linear_cross_entropy", "forward"): (2 * M * V * D, 2 * (M + V) * D + 16 * M + 8),
    ("linear_cross_entropy", "backward"): (8 * M * V * D, 4 * (M + V) * D + 12 * M + 4),
    ("moe_route", "forward"): (2 * M * D * 8, 2 * D * (M + 8) + 4 * M * (8 + 4 * 2)),
    ("moe", "forward"): (
        2 * M * D * 8 + 2 * M * 16 * D * D,
        2 * (8 * D * (1 + 8 * D) + 2 * M * D + 2 * M * (3 * 4 * D + 2 * D)),
    ),
    ("moe", "backward"): (
        4 * M * D * 8 + 4 * M * 16 * D * D,
        2 * (2 * 8 * D * (1 + 8 * D) + 5 * M * D + 2 * M * 8 + 2 * M * (4 * 4 * D + 3 * D)),
    ),
    ("orthogonalise", "forward"): (5 * (12 * D**3 + D**3), 16 * D * D + 2 * (44 * D * D + 20 * D * D)),
    ("muon", "forward"): (5 * 4 * D**3, 14 * D * D + 2 * (11 * D * D + 20 * D * D)),
    ("embed", "forward"): (M * D, 2 * (M + V + 512) * D + 8 * M),
    ("adamw", "forward"): (17 * (D * D + D), 24 * (D * D + D)),
    ("accumulate", "forward"): (5 * (D * D + D), 10 * (D * D + D)),
}


@pytest.mark.parametrize(("op", "phase"), BY_HAND)
def test_work_of_an_op_is_what_arithmetic_gives(op: str, phase: str) -> None:
    found, (flops, moved) = row(op, phase), BY_HAND[op, phase]
    assert found.flops == K * flops
    assert found.bytes == K * moved


def test_time_is_that_of_the_slower_of_arithmetic_and_memory() -> None:
    h100 = device("h100-sxm")
    for found in predict(chips=["h100-sxm"]):
        peak = h100.peak("bf16") if CASES[found.op].matrix else h100.peak("fp32", unit="vector")
        assert found.seconds == max(found.flops / peak, found.bytes / h100.bandwidth)
        assert found.ridge == peak / h100.bandwidth
        assert found.bound == ("compute" if found.flops / peak >= found.bytes / h100.bandwidth else "memory")


def test_every_op_pass_and_width_stands_on_every_chip() -> None:
    rows = [*predict()]
    passes = sum(2 if case.backward else 1 for case in CASES.values())
    assert len(rows) == len({(r.op, r.phase, r.width, r.chip) for r in rows}) == passes * len(WIDTHS) * len(CHIPS)


def test_a_package_counts_as_the_part_that_software_sees() -> None:
    whole, part = device("mi250x"), ceilings.published("mi250x")
    assert part.bandwidth == whole.bandwidth / 2
    assert part.matrix["bf16"] == whole.peak("bf16") / 2


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Tesla T4", "t4"),
        ("NVIDIA L4", "l4"),
        ("AMD Instinct MI300X", "mi300x"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_a_board_is_known_by_what_its_driver_calls_it(said: str, key: str | None) -> None:
    assert ceilings.board(said) == key
    assert key is None or key in DEVICES


def test_measured_ceilings_are_those_of_torch_on_that_device() -> None:
    found = [
        Ceiling("matmul", "cpu", "numpy", "float32", 64, 9e12, 1),
        Ceiling("matmul", "cpu", "torch", "float32", 64, 2e12, 1),
        Ceiling("matmul", "a GPU", "torch", "float32", 64, 5e12, 1),
        Ceiling("copy", "cpu", "numpy", "uint8", 64, 1e10, 1),
    ]
    here = ceilings.measured("this", found, "cpu")
    assert (here.matrix, here.vector, here.bandwidth) == ({"fp32": 2e12}, 2e12, 1e10)
    assert here.seconds(Work(4e12, 1.0), "fp32", matrix=True) == 2.0
    with pytest.raises(SpecError, match="nothing was measured on 'a TPU'"):
        ceilings.measured("that", found, "a TPU")


def test_the_table_says_that_it_is_arithmetic() -> None:
    table = roofline_table([row("linear", "forward")])
    assert table.caption.startswith("Arithmetic, nothing measured")
    assert table.rows[0][:4] == ("linear", "forward", "256", "h100-sxm")


def test_the_script_gives_one_row_a_chip_and_says_that_it_is_arithmetic() -> None:
    words = ["--chip", "h100-sxm", "--chip", "mi300x", "--width", "64", "--op", "linear", "--json"]
    read = json.loads(subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, check=True).stdout)
    assert read["caption"].startswith("Arithmetic, nothing measured")
    rows = read["rows"]
    assert [(r["phase"], r["chip"]) for r in rows] == [
        (phase, chip) for phase in ("forward", "backward") for chip in ("h100-sxm", "mi300x")
    ]
    assert rows[0]["flops"] == 2 * 8 * 1024 * 64 * 64
