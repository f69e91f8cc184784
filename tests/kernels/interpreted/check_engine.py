"""The engine's backend in Triton, in the interpreter, against the definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import isoflop as iso
from isoflop.kernels import last_dispatch
from isoflop.train.engine.step import Step
from isoflop.train.parametrisation import STANDARD, Parametrisation
from proof.interpreter import make_bfloat16_honest
from proof.tiles import tiles

make_bfloat16_honest()

# Few programs, whose number is what the interpreter takes its time by.
WIDE = {
    "adamw": {"block": 4096},
    "partial": {"rows": 4, "columns": 4096},
    "mlp": {"rows": 32, "hidden": 64},
    "mlp_backward_rows": {"rows": 32, "hidden": 64},
    "mlp_backward_columns": {"rows": 32, "hidden": 64},
    "qkv": {"rows": 32, "pairs": 16, "depth": 16},
    "qkv_rows": {"rows": 32, "columns": 32, "pairs": 16},
    "qkv_weight": {"pairs": 16, "columns": 32, "depth": 32},
}
SHAPE = iso.Shape(n_layer=1, d_model=16, n_head=2, n_ctx=16, n_vocab=11)


def test_a_step_an_evaluation_and_a_frozen_model_are_those_of_the_definition() -> None:
    settings = {"models": 2, "batch": 1, "lr": [1e-2, 1e-3]}
    given = torch.randint(SHAPE.n_vocab, (2, 2, 1, SHAPE.n_ctx), generator=torch.Generator().manual_seed(0))
    with tiles(adamw={"block": 4096}, partial={"rows": 4, "columns": 4096}):
        triton, reference = (
            Step(SHAPE, backend=name, **own, **settings)
            for name, own in (("triton", {"device": "cpu"}), ("reference", {}))
        )
        assert triton.ran == "triton on cpu, float32"
        torch.testing.assert_close(triton.step(*given), reference.step(*given), atol=1e-5, rtol=0)
        torch.testing.assert_close(triton.evaluate(*given), reference.evaluate(*given), atol=1e-5, rtol=0)
        before = triton.state()
        triton.active[1] = reference.active[1] = False
        torch.testing.assert_close(triton.step(*given), reference.step(*given), atol=1e-5, rtol=0)
        after = triton.state()
    assert after["steps"].tolist() == [2, 1]
    assert all(torch.equal(value[1], after["params"][name][1]) for name, value in before["params"].items())
    assert not torch.equal(before["params"]["tokens"][0], after["params"]["tokens"][0])
    assert triton.memory["optimizer"] == reference.memory["optimizer"] > 0


def test_what_ran_every_op_of_a_step_is_told() -> None:
    Step(SHAPE, backend="triton", device="cpu", models=1, batch=1)
    both = ("embed", "norm_qkv", "attention", "linear", "mlp", "norm", "linear_cross_entropy")
    told = last_dispatch()
    assert {told[op + end] for op in both for end in ("", "_backward")} | {told["adamw"]} == {"triton"}


MUP = Parametrisation("mup", base_width=8)
REGIMES: dict[str, dict[str, Any]] = {
    "z-loss": {"z_loss": [0.1, 0.0], "micro_batches": 2},
    "mup": {"parametrisations": [Parametrisation("mup", base_width=4, base_head=2), STANDARD]},
    "averages": {"averaged": True, "newest": [0.25, 1.0]},
    "muon": {"optimizer": "muon", "parametrisations": [MUP, STANDARD], "averaged": True, "micro_batches": 2},
    "dropout": {"dropout": [0.5, 0.1], "seeds": [7, -1], "micro_batches": 2},
    "dropout, mup": {"dropout": [0.3, 0.0], "parametrisations": [Parametrisation("mup", 4, 2), STANDARD]},
    "adafactor": {"optimizer": "adafactor", "parametrisations": [MUP, STANDARD], "clip": [0.1, 1.0]},
}
LLAMA = iso.Shape(
    n_layer=1, d_model=24, n_head=2, n_ctx=16, n_vocab=11, n_kv_head=1, norm="rms", activation="swiglu",
    position="rope", bias=False, tied_embeddings=False,
)  # fmt: skip


@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_trains_as_the_definition_does(regime: str) -> None:
    """Without biases: a gradient that is nought but for rounding, as that of keys', moves as far as any other."""
    settings = {"models": 2, "batch": 2, "lr": [1e-2, 3e-3], "eps": 1e-5} | REGIMES[regime]
    drawn = torch.Generator().manual_seed(0)
    with tiles(**WIDE):
        triton, reference = (
            Step(LLAMA, backend=name, **own, **settings)
            for name, own in (("triton", {"device": "cpu"}), ("reference", {}))
        )
        for _ in range(3):
            given = torch.randint(LLAMA.n_vocab, (2, 2, 2, LLAMA.n_ctx), generator=drawn)
            torch.testing.assert_close(triton.step(*given), reference.step(*given), atol=1e-5, rtol=0)
        torch.testing.assert_close(triton.grad_norm, reference.grad_norm, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(triton.noise, reference.noise, atol=1e-9, rtol=1e-3)
        torch.testing.assert_close(triton.evaluate(*given), reference.evaluate(*given), atol=1e-5, rtol=0)
    held, expected = triton.state(), reference.state()
    assert held.keys() == expected.keys()
    for kind in held.keys() - {"steps"}:
        for name, value in expected[kind].items():
            torch.testing.assert_close(held[kind][name], value, atol=2e-5, rtol=1e-3)
