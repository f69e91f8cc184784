"""No change makes a compiled kernel worse on any chip than kernels/budgets/ says; `make budgets` writes it anew."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
from proof.budgets import CHIPS, budget, jobs, measure, measure_chip, worse

QUICK = ("sm_90", "gfx942")
PRODUCTS = (
    *("linear", "qkv", "attention", "xent", "mlp", "block", "moe_route ", "moe_hidden", "moe_rows", "moe_weight"),
    *("muon_gram", "muon_polynomial", "muon_step"),
)
STREAMS = ("norm_", "add_partials", "adamw_update", "noise_add", "embed_fwd", "embed_bwd", "activation")
NO_NORM = {"NORM": "none", "G": None, "B": None}


@pytest.mark.timeout(900)  # two cores that others use compile a chip in minutes
@pytest.mark.parametrize(
    "chip", [pytest.param(chip, marks=() if chip in QUICK else pytest.mark.slow) for chip in CHIPS]
)
def test_no_kernel_compiles_worse_than_its_budget(chip: str) -> None:
    differences = worse(budget(chip), measure_chip(chip))
    assert not differences, f"on {chip}:\n" + "\n".join(differences)


@pytest.mark.parametrize("chip", CHIPS)
def test_budgets_fit_the_chip(chip: str) -> None:
    measured = budget(chip)
    assert measured.keys() == jobs(chip).keys()
    for name, of_job in measured.items():
        assert of_job["shared"] <= CHIPS[chip].shared, name
        assert of_job["spills"] == 0 or of_job["because"], name


@pytest.mark.parametrize("chip", CHIPS)
def test_kernels_that_stream_read_128_bits_at_a_time(chip: str) -> None:
    streams = {name: of_job for name, of_job in budget(chip).items() if name.startswith(STREAMS)}
    assert len(streams) > 10
    assert all(of_job["wide_loads"] > 0 for of_job in streams.values())


@pytest.mark.parametrize("chip", CHIPS)
def test_products_in_bfloat16_use_the_matrix_units(chip: str) -> None:
    products = {name: of_job for name, of_job in budget(chip).items() if name.startswith(PRODUCTS) and "bf16" in name}
    assert all(any(name.startswith(of) for name in products) for of in PRODUCTS)
    assert all(of_job["matrix"] > 0 and of_job["wide_loads"] > 0 for of_job in products.values())


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
        ("moe_hidden 32x64x32 bf16", {"KIND": "gelu", "F": 1}),
        ("moe_hidden_bwd 32x64x32 bf16", {"KIND": "relu2", "F": 1}),
        ("moe_route 32x64 bf16 64", {"M": 1, "E": 1, "TOP": 1, "LANES": 1, "RENORMALISE": False}),
        ("moe_route_bwd 32x64 bf16 64", {"M": 1, "E": 1, "TOP": 1, "LANES": 1, "DBALANCE": None}),
        ("moe_plan 64", {"M": 1, "E": 1, "parts": 1, "TOP": 1}),
        ("muon_step 32x64 bf16", {"M": 1, "N": 1, "D": 1, "by_row": 1, "depth_by": 1}),
        ("muon_update", {"MASTER": None, "N": 1}),
        ("muon_momentum", {"NESTEROV": False, "N": 1}),
        ("attention bf16 64", {"window": 5, "C": 40}),
        ("attention bf16 64", {"CAUSAL": False, "T": 1, "heads": 1, "group": 1}),
        ("attention_dq bf16 64", {"window": 5, "C": 40}),
        ("attention_dq bf16 64", {"CAUSAL": False, "T": 1, "heads": 1, "group": 1}),
        ("attention_dkdv bf16 64", {"window": 5, "C": 40}),
        ("attention_dkdv bf16 64", {"CAUSAL": False, "T": 1, "heads": 1, "group": 1}),
        ("mlp 64x64x64 bf16", NO_NORM | {"KIND": "gelu", "B_IN": None, "B_OUT": None, "RESIDUAL": False}),
        ("mlp 64x64x64 bf16", {"NORM": "rms", "KIND": "relu2", "B": None, "M": 1, "D": 1, "F": 1}),
        ("mlp_backward_rows 64x64x32 bf16", NO_NORM | {"KIND": "gelu_tanh", "DG": None, "DB": None, "DB_OUT": None}),
        ("mlp_backward_rows 64x64x32 bf16", {"NORM": "rms", "KIND": "gelu", "M": 1, "D": 1, "F": 1}),
        ("mlp_backward_columns 32x64x32 bf16", NO_NORM | {"KIND": "relu2", "B_IN": None, "DB_IN": None}),
        ("mlp_backward_columns 32x64x32 bf16", {"NORM": "rms", "KIND": "gelu", "M": 1, "D": 1, "F": 1, "steps": 1}),
    ],
)
def test_every_form_of_a_kernel_compiles(chip: str, job: str, constants: dict[str, Any]) -> None:
    base = jobs(chip)[job]
    types = {name: kind for name, kind in base.types.items() if name not in constants}
    assert measure(chip, base._replace(types=types, constants=base.constants | constants))["spills"] == 0


def test_worse_names_every_difference_that_costs() -> None:
    before = {
        "a": {"registers": 32, "wide_loads": 4, "spills": 0},
        "b": {"registers": 16, "wide_loads": 1, "spills": 0},
    }
    after = {"a": {"registers": 40, "wide_loads": 2, "spills": 0}, "c": {"registers": 16, "wide_loads": 1, "spills": 0}}
    assert worse(before, before) == []
    assert worse(before, after) == [
        "a: registers 32 -> 40",
        "a: wide_loads 4 -> 2",
        "b: is no longer compiled",
        "c: has no budget",
    ]
    cheaper = {"a": {"registers": 30, "wide_loads": 8, "spills": 0}}
    assert worse({"a": before["a"]}, cheaper) == []
