"""The engine's backend in Triton, in the interpreter, against the definitions."""

from __future__ import annotations

from dataclasses import replace
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


def test_an_evaluation_between_steps_drops_nothing_and_changes_none_of_what_they_drop() -> None:
    """A captured step has dropout once and for all: evaluations are without it, and rates are those of ``hyper``."""
    shape, settings = replace(SHAPE, n_ctx=8), {"models": 1, "batch": 1, "lr": 1e-2, "dropout": 0.5}
    given = torch.randint(shape.n_vocab, (2, 1, 1, shape.n_ctx), generator=torch.Generator().manual_seed(0))
    with tiles(**WIDE):
        triton = Step(shape, backend="triton", device="cpu", **settings)
        dropping, plain = (Step(shape, backend="reference", **settings | own) for own in ({}, {"dropout": 0.0}))
        for _ in range(2):
            found = triton.evaluate(*given)
            torch.testing.assert_close(found, plain.evaluate(*given), atol=1e-5, rtol=0)
            torch.testing.assert_close(triton.step(*given), dropping.step(*given), atol=1e-5, rtol=0)
            assert not torch.allclose(triton.losses, found.mean((1, 2)), atol=1e-3)
            plain.load_state(dropping.state())
        triton.hyper["dropout"].zero_()
        torch.testing.assert_close(triton.step(*given), plain.step(*given), atol=1e-5, rtol=0)


def test_what_ran_every_op_of_a_step_is_told() -> None:
    Step(SHAPE, backend="triton", device="cpu", models=1, batch=1)
    both = ("embed", "norm_qkv", "attention", "linear", "mlp", "norm", "linear_cross_entropy")
    told = last_dispatch()
    assert {told[op + end] for op in both for end in ("", "_backward")} | {told["adamw"]} == {"triton"}


LLAMA = iso.Shape(
    n_layer=1, d_model=24, n_head=2, n_ctx=16, n_vocab=11, n_kv_head=1, norm="rms", activation="swiglu",
    position="rope", bias=False, tied_embeddings=False,
)  # fmt: skip
MIXTURE = iso.Shape(
    n_layer=1, d_model=16, n_head=2, n_ctx=16, n_vocab=11, n_expert=3, top_k=2, n_shared_expert=2, d_expert=12,
    capacity_factor=1.0,
)  # fmt: skip
EXPERTS = replace(LLAMA, n_expert=3, top_k=1, d_expert=12)
MUP = Parametrisation("mup", base_width=8)
REGIMES: dict[str, tuple[iso.Shape, dict[str, Any]]] = {
    "z-loss": (LLAMA, {"z_loss": [0.1, 0.0], "micro_batches": 2}),
    "mup": (LLAMA, {"parametrisations": [Parametrisation("mup", base_width=4, base_head=2), STANDARD]}),
    "averages": (LLAMA, {"averaged": True, "newest": [0.25, 1.0]}),
    "muon": (LLAMA, {"optimizer": "muon", "parametrisations": [MUP, STANDARD], "averaged": True, "micro_batches": 2}),
    "dropout": (LLAMA, {"dropout": [0.5, 0.1], "seeds": [7, -1], "micro_batches": 2}),
    "dropout, mup": (LLAMA, {"dropout": [0.3, 0.0], "parametrisations": [Parametrisation("mup", 4, 2), STANDARD]}),
    "adafactor": (LLAMA, {"optimizer": "adafactor", "parametrisations": [MUP, STANDARD], "clip": [0.1, 1.0]}),
    "experts": (MIXTURE, {"balance_loss": [1.0, 0.0], "micro_batches": 2}),
    "experts, mup, dropout, adafactor": (
        EXPERTS,
        {"dropout": [0.3, 0.1], "parametrisations": [MUP, STANDARD], "optimizer": "adafactor"},
    ),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_trains_as_the_definition_does(regime: str) -> None:
    """A gradient that is nought but for rounding, as that of keys' biases, moves as far as any other by Adafactor."""
    shape, own = REGIMES[regime]
    settings = {"models": 2, "batch": 2, "lr": [1e-2, 3e-3], "eps": 1e-5} | own
    drawn = torch.Generator().manual_seed(0)
    with tiles(**WIDE):
        triton, reference = (
            Step(shape, backend=name, **own, **settings)
            for name, own in (("triton", {"device": "cpu"}), ("reference", {}))
        )
        for _ in range(3):
            given = torch.randint(shape.n_vocab, (2, 2, 2, shape.n_ctx), generator=drawn)
            torch.testing.assert_close(triton.step(*given), reference.step(*given), atol=1e-5, rtol=0)
        torch.testing.assert_close(triton.grad_norm, reference.grad_norm, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(triton.noise, reference.noise, atol=1e-9, rtol=1e-3)
        torch.testing.assert_close(triton.evaluate(*given), reference.evaluate(*given), atol=1e-5, rtol=0)
    held, expected = triton.state(), reference.state()
    assert held.keys() == expected.keys()
    for kind in held.keys() - {"steps"}:
        for name, value in expected[kind].items():
            torch.testing.assert_close(held[kind][name], value, atol=2e-5, rtol=1e-3)
