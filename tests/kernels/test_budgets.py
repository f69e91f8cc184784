"""No change makes a compiled kernel worse on any chip than kernels/budgets/ says; `make budgets` writes it anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
from isoflop.kernels import launch
from isoflop.kernels.configurations import ops, table
from proof.budgets import CHIPS, budget, compiled, jobs, measure, measure_chip, program, seal, unsealed, worse
from proof.job import Job
from proof.machine_code import MATRIX_AMD, MATRIX_NVIDIA, by_name

QUICK = ("sm_90", "gfx942")
PRODUCTS = (
    *("linear", "qkv", "attention", "xent", "mlp", "block", "moe_route ", "moe_hidden", "moe_rows", "moe_weight"),
    *("muon_gram", "muon_polynomial", "muon_step"),
)
STREAMS = (
    *("norm_", "add_partials", "noise_add", "embed_fwd", "embed_bwd", "activation"),
    *("adamw_update", "adafactor_sums", "adafactor_squares", "adafactor_update"),
)
NO_NORM = {"NORM": "none", "G": None, "B": None}


class Units(NamedTuple):
    """Matrix instructions that a chip must use, as regular expressions: of 16-bit floats, and of float32, if any.

    ``few_rows`` may stand beside the first in products of fewer rows, or over fewer terms, than those take at once.
    """

    bfloat16: str
    float32: str = "none"
    few_rows: str = "none"


MMA = r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.bf16\.bf16\.f32"
UNITS = {
    **dict.fromkeys(("sm_80", "sm_86", "sm_89", "sm_120"), Units(MMA)),
    "sm_90": Units(r"wgmma\.mma_async\.sync\.aligned\.m64n\d+k16\.f32\.bf16\.bf16", few_rows=MMA),
    "sm_100": Units(r"tcgen05\.mma\.cta_group::1\.kind::f16", few_rows=MMA),
    "gfx942": Units("v_mfma_f32_(32x32x8|16x16x16)_bf16", "v_mfma_f32_(32x32x2|16x16x4)_f32"),
    "gfx950": Units(
        "v_mfma_f32_(32x32x16|16x16x32)_bf16", "v_mfma_f32_(32x32x2|16x16x4)_f32", few_rows="v_mfma_f32_16x16x16_bf16"
    ),
}
FEW_ROWS = r"\S+ (16|32)x.*|xent_dw \d+x32x.*|block_backward .*|attention_d\w+ bf16 256"
"""Tiles of so few rows, of so few entries of the vocabulary, heads 32 wide, and 16 by 16 of heads 256 wide."""


@pytest.mark.timeout(900)  # two cores that others use compile a chip in minutes, where no seal stands
@pytest.mark.parametrize(
    "chip", [pytest.param(chip, marks=() if chip in QUICK else pytest.mark.slow) for chip in CHIPS]
)
def test_no_kernel_compiles_worse_than_its_budget(chip: str) -> None:
    before = budget(chip)
    after = {name: before[name] for name in jobs(chip) if name in before} | measure_chip(chip, unsealed(chip, before))
    differences = worse(before, after)
    assert not differences, f"on {chip}:\n" + "\n".join(differences)


@pytest.mark.parametrize("chip", CHIPS)
def test_seals_tell_what_a_compile_finds(chip: str) -> None:
    before = {name: of_job for name, of_job in budget(chip).items() if name in jobs(chip)}
    sample = [name for name, of_job in before.items() if int(of_job.get("seal", "1"), 16) % 16 == 0]
    differences = worse({name: before[name] for name in sample}, measure_chip(chip, sample))
    assert not differences, f"on {chip}:\n" + "\n".join(differences)


@pytest.mark.parametrize("chip", QUICK)
def test_a_seal_breaks_by_another_program_and_by_a_number_that_was_not_found(chip: str) -> None:
    of_chip, name = jobs(chip), "norm_fwd 16x64"
    job, found = of_chip[name], budget(chip)[name]
    others = (
        job._replace(constants=job.constants | {"LAYER": False}),
        job._replace(types=job.types | {"X": "*fp16"}),
        job._replace(types=job.types | {"M": "i32"}),
        job._replace(configuration=of_chip["norm_fwd 32x32"].configuration),
        job._replace(configuration=replace(job.configuration, numbers={**job.configuration, "warps": 16})),
    )
    seals = [seal(chip, each, found) for each in (job, *others)]
    seals += [seal(other, job, found) for other in CHIPS if other != chip]
    seals += [seal(chip, job, found | changed) for changed in ({"registers": 1}, {"matrix": {"mma": 1}})]
    assert len(set(seals)) == len(seals)
    sealed = {name: found | {"seal": seals[0]}, "norm_fwd 32x32": found | {"seal": seals[0]}}
    assert unsealed(chip, sealed) == [each for each in of_chip if each != name]


@pytest.mark.parametrize("chip", CHIPS)
def test_budgets_fit_the_chip(chip: str) -> None:
    measured = budget(chip)
    assert measured.keys() == jobs(chip).keys()
    for name, of_job in measured.items():
        assert of_job["shared"] <= CHIPS[chip].shared, name
        assert of_job["spills"] == 0 or of_job["because"], name


@pytest.mark.parametrize("chip", CHIPS)
def test_every_kernel_that_is_launched_and_every_row_of_its_table_is_compiled(chip: str) -> None:
    measured = jobs(chip).values()
    assert {job.kernel.fn.__name__ for job in measured} == set(_with_a_grid())
    for op in ops():
        rows = table(op, chip)
        compiled_rows = [dict(row) for row in rows if any(job.configuration is row for job in measured)]
        assert all(dict(row) in compiled_rows for row in rows), op


def _with_a_grid() -> Iterator[str]:
    """Device code that is launched, and not only called, says its grid first."""
    for path in Path(launch.__file__).parent.glob("*.py"):
        for each in ast.parse(path.read_text()).body:
            if isinstance(each, ast.FunctionDef) and (ast.get_docstring(each) or "").startswith("Grid "):
                yield each.name


@pytest.mark.parametrize("chip", CHIPS)
def test_kernels_that_stream_read_128_bits_at_a_time(chip: str) -> None:
    streams = {name: of_job for name, of_job in budget(chip).items() if name.startswith(STREAMS)}
    assert len(streams) > 10
    assert all(of_job["wide_loads"] > 0 for of_job in streams.values())


@pytest.mark.parametrize("chip", CHIPS)
def test_products_in_bfloat16_use_the_matrix_unit_of_their_chip(chip: str) -> None:
    products = {name: of_job for name, of_job in budget(chip).items() if name.startswith(PRODUCTS) and "bf16" in name}
    assert all(any(name.startswith(of) for name in products) for of in PRODUCTS)
    for name, of_job in products.items():
        few = re.fullmatch(FEW_ROWS, name)
        allowed = [UNITS[chip].bfloat16] + ([UNITS[chip].few_rows] if few else [])
        assert of_job["matrix"], name
        assert all(re.fullmatch("|".join(allowed), kind) for kind in of_job["matrix"]), (name, of_job["matrix"])
        assert of_job["wide_loads"] > 0, name


@pytest.mark.parametrize("chip", CHIPS)
def test_products_in_float32_are_not_rounded_to_fewer_bits(chip: str) -> None:
    products = {name: of_job for name, of_job in budget(chip).items() if name.startswith(PRODUCTS) and "fp32" in name}
    assert len(products) > 10
    for name, of_job in products.items():
        assert bool(of_job["matrix"]) == (UNITS[chip].float32 != "none"), name
        assert all(re.fullmatch(UNITS[chip].float32, kind) for kind in of_job["matrix"]), (name, of_job["matrix"])


@pytest.mark.parametrize("chip", CHIPS)
def test_what_has_no_products_uses_no_matrix_unit(chip: str) -> None:
    assert not any(of_job["matrix"] for name, of_job in budget(chip).items() if not name.startswith(PRODUCTS))


def the_job(chip: str, job: str) -> tuple[str, Job]:
    """By its name; a star stands for what tables of chips have apart."""
    (found,) = ((name, each) for name, each in jobs(chip).items() if fnmatchcase(name, job))
    return found


@pytest.mark.parametrize("chip", QUICK)
@pytest.mark.parametrize("job", ["linear_fwd 64x64x32 bf16", "attention bf16 64", "mlp *x64x* bf16"])
def test_float16_uses_the_instructions_of_bfloat16_in_its_own_dtype(chip: str, job: str) -> None:
    job, base = the_job(chip, job)
    half = base._replace(types={name: kind.replace("bf16", "fp16") for name, kind in base.types.items()})
    wanted = {kind.replace("bf16", "f16"): count for kind, count in budget(chip)[job]["matrix"].items()}
    assert measure(chip, half)["matrix"] == wanted


@pytest.mark.parametrize("chip", QUICK)
@pytest.mark.parametrize("job", ["norm_fwd 16x64", "linear_fwd 64x64x32 bf16"])
def test_a_kernel_that_moves_in_its_file_compiles_to_the_same_code(chip: str, job: str, tmp_path: Path) -> None:
    base = jobs(chip)[job]
    original = Path(base.kernel.fn.__code__.co_filename)
    (tmp_path / "moved.py").write_text("\n" * 70 + original.read_text())
    spec = spec_from_file_location(base.kernel.fn.__module__, tmp_path / "moved.py")
    moved = module_from_spec(spec)
    spec.loader.exec_module(moved)
    kernel = getattr(moved, base.kernel.fn.__name__)
    assert kernel.starting_line_number == base.kernel.starting_line_number + 70
    assert program(chip, base._replace(kernel=kernel)) == program(chip, base)
    code = "ptx" if chip.startswith("sm") else "amdgcn"
    assert compiled(chip, base._replace(kernel=kernel)).asm[code] == compiled(chip, base).asm[code]


def test_matrix_instructions_are_read_by_name() -> None:
    ptx = """
        mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r1}, {%r2}, {%r3}, {%r4};
        @%p1 wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r1}, %rd1, %rd2, 1, 1, 1, 0, 0;
        wgmma.fence.sync.aligned;
        @%p2 tcgen05.mma.cta_group::1.kind::f16 [ %r1 + 0 ], %rd1, %rd2, %r2, %p3;
        tcgen05.mma.cta_group::1.kind::f16 [ %r1 + 0 ], %rd1, %rd2, %r2, %p3;
        tcgen05.commit.cta_group::1.mbarrier::arrive::one.b64 [%r1];"""
    assert by_name(MATRIX_NVIDIA, ptx) == {
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32": 1,
        "tcgen05.mma.cta_group::1.kind::f16": 2,
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16": 1,
    }
    amdgcn = """
        v_mfma_f32_32x32x8_bf16 v[0:15], v[16:17], v[18:19], v[0:15]
        v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7]
        v_fma_f32 v0, v1, v2, v0"""
    assert by_name(MATRIX_AMD, amdgcn) == {"v_mfma_f32_32x32x8_bf16": 1, "v_wmma_f32_16x16x16_f16": 1}


@pytest.mark.parametrize("chip", QUICK)
@pytest.mark.parametrize(
    ("job", "constants"),
    [
        ("norm_fwd 32x32", {"LAYER": False, "MEAN": None, "R": None, "T": None, "B": None}),
        ("norm_fwd 32x32", {"D": 1, "M": 1}),
        ("norm_bwd 32x32", {"LAYER": False, "MEAN": None, "DT": None, "DB": None}),
        ("norm_bwd 32x32", {"D": 1, "M": 1, "steps": 1}),
        ("add_partials 32x64", {"P": 1, "N": 1}),
        ("adamw_square", {"ALIGN": 1}),
        ("adamw_scalars", {"blocks": 1}),
        ("adamw_update float32", {"ALIGN": 1}),
        ("linear_fwd 64x64x32 bf16", {"B": None, "R": None}),
        ("linear_fwd 64x64x32 bf16", {"M": 1, "N": 1, "D": 1}),
        ("linear_bwd 64x64x32 bf16", {"M": 1, "N": 1, "D": 1}),
        ("linear_weight 64x64x32 bf16", {"DB": None}),
        ("linear_weight 64x64x32 bf16", {"M": 1, "N": 1, "D": 1}),
        ("qkv 64x32x32 bf16", {"LAYER": False, "MEAN": None, "SHIFT": None, "B": None, "COS": None, "SIN": None}),
        ("qkv 64x32x32 bf16", {"M": 1, "T": 1, "D": 1, "heads": 1, "groups": 1, "C": 2, "HALF": 1}),
        ("qkv_rows 64x64x16 bf16", {"COS": None, "SIN": None}),
        ("qkv_rows 64x64x16 bf16", {"M": 1, "T": 1, "D": 1, "heads": 1, "groups": 1, "C": 6, "HALF": 3}),
        ("qkv_weight 32x64x32 bf16", {"MEAN": None, "SHIFT": None, "DB": None, "COS": None, "SIN": None}),
        ("qkv_weight 32x64x32 bf16", {"M": 1, "T": 1, "D": 1, "heads": 1, "groups": 1, "C": 2, "HALF": 1}),
        ("xent_fwd 64x64x64 bf16", {"BEST": None, "WEIGHTS": None, "M": 1, "V": 1, "D": 1, "steps": 1, "ignored": 1}),
        ("xent_dx 64x64x64 bf16", {"WEIGHTS": None, "TOTAL": None, "DMEAN": None, "M": 1, "V": 1, "D": 1, "steps": 1}),
        ("xent_dw 64x64x64 bf16", {"WEIGHTS": None, "DMEAN": None, "M": 1, "V": 1, "D": 1, "steps": 1}),
        ("xent_join", {"BEST": None, "HITS": None, "M": 1, "V": 1, "S": 1, "ignored": 1}),
        ("xent_mean", {"LOSS": None, "MEAN": None, "M": 1, "V": 1}),
        ("embed_fwd 32x64", {"POSITIONS": None, "M": 1, "T": 1, "V": 1, "P": 1, "D": 1}),
        ("embed_bwd 32x64", {"ONTO": None, "M": 1, "V": 1, "D": 1}),
        ("embed_bwd_positions 32x64", {"B": 1, "T": 1, "P": 1, "D": 1}),
        ("embed_starts", {"M": 1, "V": 1, "halvings": 1}),
        ("noise_add", {"ALIGN": 1, "FIRST": True}),
        ("noise_squares", {"blocks": 1, "FIRST": True}),
        ("adafactor_squares", {"ALIGN": 1}),
        ("adafactor_update float32", {"ALIGN": 1}),
        ("moe_hidden 32x64x32 bf16", {"KIND": "gelu", "B": None, "F": 1}),
        ("moe_hidden_bwd 32x64x32 bf16", {"KIND": "relu2", "F": 1}),
        ("moe_weight_out 64x64x32 bf16", {"DB": None}),
        ("moe_combine", {"GATES": None, "ALSO": None, "M": 1}),
        ("moe_route 32x64 bf16 64", {"M": 1, "E": 1, "TOP": 1, "LANES": 1, "RENORMALISE": False, "SCALE": None}),
        ("moe_route_bwd 32x64 bf16 64", {"M": 1, "E": 1, "TOP": 1, "LANES": 1, "DBALANCE": None}),
        ("moe_plan 64", {"M": 1, "E": 1, "parts": 1, "TOP": 1}),
        ("muon_step 32x64 bf16", {"M": 1, "N": 1, "D": 1, "by_row": 1, "depth_by": 1}),
        ("muon_update", {"MASTER": None, "N": 1, "EACH": 3}),
        ("muon_momentum", {"NESTEROV": False, "N": 1}),
        ("attention bf16 64", {"window": 5, "C": 40}),
        ("attention bf16 64", {"CAUSAL": False, "T": 1, "heads": 1, "group": 1}),
        ("attention_dq bf16 64", {"window": 5, "C": 40}),
        ("attention_dq bf16 64", {"CAUSAL": False, "T": 1, "heads": 1, "group": 1}),
        ("attention_dkdv bf16 64", {"window": 5, "C": 40}),
        ("attention_dkdv bf16 64", {"CAUSAL": False, "T": 1, "heads": 1, "group": 1}),
        ("mlp *x64x* bf16", NO_NORM | {"KIND": "gelu", "B_IN": None, "B_OUT": None, "RESIDUAL": False}),
        ("mlp *x64x* bf16", {"NORM": "rms", "KIND": "relu2", "B": None, "M": 1, "D": 1, "F": 1}),
        ("mlp_backward_rows 64x64x32 bf16", NO_NORM | {"KIND": "gelu_tanh", "DG": None, "DB": None, "DB_OUT": None}),
        ("mlp_backward_rows 64x64x32 bf16", {"NORM": "rms", "KIND": "gelu", "M": 1, "D": 1, "F": 1}),
        ("mlp_backward_columns 32x64x32 bf16", NO_NORM | {"KIND": "relu2", "B_IN": None, "DB_IN": None}),
        ("mlp_backward_columns 32x64x32 bf16", {"NORM": "rms", "KIND": "gelu", "M": 1, "D": 1, "F": 1, "steps": 1}),
    ],
)
def test_every_form_of_a_kernel_compiles(chip: str, job: str, constants: dict[str, Any]) -> None:
    _, base = the_job(chip, job)
    types = {name: kind for name, kind in base.types.items() if name not in constants}
    assert measure(chip, base._replace(types=types, constants=base.constants | constants))["spills"] == 0


def test_worse_names_every_difference_that_costs() -> None:
    before = {
        "a": {"registers": 32, "wide_loads": 4, "spills": 0, "matrix": {"wgmma.bf16": 2}},
        "b": {"registers": 16, "wide_loads": 1, "spills": 0, "matrix": {}},
    }
    after = {
        "a": {"registers": 40, "wide_loads": 2, "spills": 0, "matrix": {"mma.bf16": 8}},
        "c": {"registers": 16, "wide_loads": 1, "spills": 0, "matrix": {}},
    }
    assert worse(before, before) == []
    assert worse(before, after) == [
        "a: registers 32 -> 40",
        "a: wgmma.bf16 2 -> 0",
        "a: wide_loads 4 -> 2",
        "b: is no longer compiled",
        "c: has no budget",
    ]
    cheaper = {"a": {"registers": 30, "wide_loads": 8, "spills": 0, "matrix": {"wgmma.bf16": 4}}}
    assert worse({"a": before["a"]}, cheaper) == []
