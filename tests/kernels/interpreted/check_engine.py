"""The engine's backend in Triton, in the interpreter, against the definitions."""

from __future__ import annotations

import torch

import isoflop as iso
from isoflop.kernels import last_dispatch
from isoflop.train.engine.step import Step
from proof.interpreter import make_bfloat16_honest
from proof.tiles import tiles

make_bfloat16_honest()

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
