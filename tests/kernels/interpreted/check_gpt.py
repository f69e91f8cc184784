"""The training step of K decoders in the interpreter, against the plain model, autograd and torch's AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import isoflop as iso
from isoflop.errors import KernelError
from isoflop.kernels import last_dispatch
from isoflop.kernels.gpt_parameters import first_values
from isoflop.train.engine.regime import DEFAULTS
from isoflop.train.engine.triton import TrainStep
from isoflop.train.model import Transformer
from isoflop.train.parametrisation import Parametrisation
from proof.graph_safety import NotReplayed, graph_safe
from proof.interpreter import make_bfloat16_honest
from proof.tiles import tiles

make_bfloat16_honest()

SMALL = {"n_layer": 2, "d_model": 16, "n_head": 2, "n_ctx": 16, "n_vocab": 11}
SHAPES = {
    "gpt2": iso.Shape(**SMALL),
    "llama": iso.Shape(
        **SMALL | {"d_model": 24, "n_layer": 1}, n_kv_head=1, norm="rms", activation="swiglu", position="rope",
        bias=False, tied_embeddings=False,
    ),
    "relu2": iso.Shape(**SMALL | {"n_layer": 1}, d_head=6, norm="rms", activation="relu2", position="none"),
    "experts": iso.Shape(**SMALL, n_expert=3, top_k=2, n_shared_expert=1, d_expert=8),
}  # fmt: skip
HYPER: dict[str, list[float]] = {
    "lr": [1e-3, 1e-2, 3e-2],
    "beta1": [0.9, 0.8, 0.95],
    "beta2": [0.95, 0.99, 0.999],
    "weight_decay": [0.1, 0.0, 0.3],
    "clip": [1.0, math.inf, 0.5],
}
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
    "muon": {"rows": 64, "depth": 64},
}


@pytest.fixture(autouse=True)
def wide_tiles() -> Iterator[None]:
    with tiles(**WIDE):
        yield


def hyper(models: list[int]) -> dict[str, list[float]]:
    return {name: [values[k] for k in models] for name, values in HYPER.items()}


def batches(shape: iso.Shape, *, models: int, batch: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(shape.n_vocab, (models, batch, shape.n_ctx + 1), generator=generator)
        yield rows[..., :-1], rows[..., 1:]


class Plain:
    """One model, trained by autograd and torch."""

    def __init__(self, shape: iso.Shape, k: int) -> None:
        self.model = Transformer(shape, torch.Generator().manual_seed(k))
        self.clip, decay = HYPER["clip"][k], HYPER["weight_decay"][k]
        params = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [each for each in params if each.ndim == 2], "weight_decay": decay},
                {"params": [each for each in params if each.ndim < 2], "weight_decay": 0.0},
            ],
            lr=HYPER["lr"][k], betas=(HYPER["beta1"][k], HYPER["beta2"][k]),
        )  # fmt: skip

    def step(self, tokens: Tensor, targets: Tensor) -> float:
        self.optimizer.zero_grad()
        loss = self.model(tokens, targets)
        loss.backward()
        self.norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip))
        self.optimizer.step()
        return float(loss.detach())


def assert_trains_alike(step: TrainStep, plain: list[Plain], steps: int, batch: int) -> list[float]:
    losses = []
    for given in batches(step.shape, models=len(plain), batch=batch, steps=steps):
        losses = step.step(*given).tolist()
        expected = [each.step(*(rows[k] for rows in given)) for k, each in enumerate(plain)]
        assert losses == pytest.approx(expected, abs=1e-5, rel=0)
        assert step.grad_norm.tolist() == pytest.approx([each.norm for each in plain], rel=1e-4)
    return losses


def test_twenty_steps_give_the_losses_of_the_plain_trainer() -> None:
    shape = SHAPES["gpt2"]
    step = TrainStep(shape, models=2, batch=1, device="cpu", **hyper([0, 1]))
    last = assert_trains_alike(step, [Plain(shape, k) for k in range(2)], steps=20, batch=1)
    assert step.steps.tolist() == [20, 20]
    assert last[0] != last[1]


@pytest.mark.parametrize("name", ["llama", "relu2"])
@pytest.mark.parametrize("fused", [True, False])
def test_other_decoders_train_as_the_plain_model_does(name: str, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isoflop.train.engine.triton.holds_mlp", lambda *_: fused)
    shape = SHAPES[name]
    step = TrainStep(shape, models=1, batch=1, device="cpu", **hyper([0]))
    assert_trains_alike(step, [Plain(shape, 0)], steps=2, batch=1)


@pytest.fixture
def torchs_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows too wide for the kernels of products."""
    for module in ("linear", "qkv"):
        monkeypatch.setattr(f"isoflop.kernels.{module}.library_past", lambda op: 0)
    monkeypatch.setattr("isoflop.train.engine.triton.holds_mlp", lambda *_: False)


@pytest.mark.usefixtures("torchs_products")
def test_wide_decoders_train_by_torchs_products_as_the_plain_model_does_and_allocate_nothing() -> None:
    shape = SHAPES["gpt2"]
    step = TrainStep(shape, models=1, batch=1, device="cpu", **hyper([0]))
    given = next(batches(shape, models=1, batch=1, steps=1))
    with graph_safe():
        step.step(*given)
    assert {last_dispatch()[op] for op in ("norm_qkv", "linear", "norm_qkv_backward")} == {"library"}
    step.load(first_values(shape, [0]))
    assert_trains_alike(step, [Plain(shape, 0)], steps=2, batch=1)


@pytest.mark.parametrize("name", ["gpt2", "experts"])
def test_gradients_of_all_parameters_are_those_of_autograd(name: str) -> None:
    shape = SHAPES[name]
    step, plain = TrainStep(shape, models=1, batch=2, device="cpu"), Plain(shape, 0)
    ((tokens, targets),) = batches(shape, models=1, batch=2, steps=1)
    step.step(tokens, targets)
    plain.model.objective(tokens[0], targets[0], balance_loss=DEFAULTS["balance_loss"])[0].backward()
    for name, parameter in plain.model.named_parameters():
        torch.testing.assert_close(step.grads[name][0], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_every_second_layer_sees_past_the_window() -> None:
    shape = iso.Shape(**SMALL, window=3, global_every=2)
    step = TrainStep(shape, models=1, batch=1, device="cpu", **hyper([0]))
    assert_trains_alike(step, [Plain(shape, 0)], steps=2, batch=1)


def test_models_in_one_step_have_the_bits_of_each_in_its_own() -> None:
    shape = iso.Shape(**SMALL | {"n_layer": 1})
    together = TrainStep(shape, models=2, batch=1, device="cpu", seeds=[0, 1], **hyper([0, 1]))
    alone = [TrainStep(shape, models=1, batch=1, device="cpu", seeds=[k], **hyper([k])) for k in range(2)]
    for given in batches(shape, models=2, batch=1, steps=2):
        losses = together.step(*given)
        for k, each in enumerate(alone):
            assert torch.equal(each.step(*(rows[k : k + 1] for rows in given)), losses[k : k + 1])
    for k, each in enumerate(alone):
        assert all(torch.equal(each.params[name][0], stacked[k]) for name, stacked in together.params.items())


def test_micro_batches_sum_to_the_batch_and_measure_its_noise() -> None:
    shape = iso.Shape(**SMALL | {"n_layer": 1})
    step = TrainStep(shape, models=1, batch=4, micro_batches=2, device="cpu", **hyper([0]))
    whole, half = Plain(shape, 0).model, Plain(shape, 0).model
    ((tokens, targets),) = batches(shape, models=1, batch=4, steps=1)
    (loss,) = step.step(tokens, targets).tolist()
    small = []
    for part in (slice(0, 2), slice(2, 4)):
        half.zero_grad()
        half(tokens[0, part], targets[0, part]).backward()
        small.append(sum(float(each.grad.double().square().sum()) for each in half.parameters()))
    mean = whole(tokens[0], targets[0])
    mean.backward()
    assert loss == pytest.approx(float(mean.detach()), abs=1e-5)
    assert step.noise is not None
    of_micro, of_batch = step.noise.norms(2)
    assert float(of_micro) == pytest.approx(sum(small) / 2, rel=1e-4)
    assert float(of_batch) == pytest.approx(float(step.grad_norm) ** 2, rel=1e-4)
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(step.summed[name][0], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_bfloat16_parameters_are_copies_of_float32_ones() -> None:
    shape = iso.Shape(**SMALL | {"n_layer": 1})
    wide, narrow = (TrainStep(shape, models=1, batch=1, device="cpu", dtype=d) for d in (torch.float32, torch.bfloat16))
    for given in batches(shape, models=1, batch=1, steps=2):
        losses = [float(each.step(*given)) for each in (wide, narrow)]
        assert losses[1] == pytest.approx(losses[0], abs=0.05)
    for name, master in narrow.master.items():
        assert master.dtype == torch.float32
        assert torch.equal(narrow.params[name], master.bfloat16()), name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"micro_batches": 2, "dtype": torch.bfloat16},
        {"optimizer": "muon", "averaged": True, "dtype": torch.bfloat16},
        {"optimizer": "adafactor", "parametrisations": [Parametrisation("mup", base_width=4, base_head=2)]},
        {"shape": "experts", "optimizer": "muon", "parametrisations": [Parametrisation("mup", base_width=4)]},
    ],
)
def test_no_step_allocates_or_waits_for_the_device(settings: dict[str, Any]) -> None:
    plain = iso.Shape(**SMALL, position="rope", tied_embeddings=False)
    shape, settings = SHAPES.get(settings.get("shape", ""), plain), {k: v for k, v in settings.items() if k != "shape"}
    step = TrainStep(shape, models=1, batch=2, device="cpu", **settings)
    given = next(batches(shape, models=1, batch=2, steps=1))
    with graph_safe():
        step.step(*given)
        step.hyper["lr"].fill_(0.5)
    assert float(step.losses) > 0


def test_a_step_that_reads_its_loss_is_caught() -> None:
    shape = iso.Shape(**SMALL | {"n_layer": 1})
    step = TrainStep(shape, models=1, batch=1, device="cpu")
    given = next(batches(shape, models=1, batch=1, steps=1))
    with graph_safe(), pytest.raises(NotReplayed, match="reads a tensor on the host"):
        float(step.step(*given))


def test_first_values_and_names_are_those_of_the_plain_model() -> None:
    for shape in SHAPES.values():
        drawn = first_values(shape, [2, 3])
        for k in range(2):
            state = Transformer(shape, torch.Generator().manual_seed(2 + k)).state_dict()
            assert drawn.keys() == state.keys()
            assert all(torch.equal(drawn[name][k], value) for name, value in state.items())
        assert sum(value[0].numel() for value in drawn.values()) == shape.n_params


def test_a_graph_is_refused_without_a_gpu_and_batches_of_another_form() -> None:
    shape = iso.Shape(**SMALL | {"n_layer": 1})
    step = TrainStep(shape, models=1, batch=1, device="cpu")
    with pytest.raises(KernelError, match="a CUDA graph is captured on a GPU, not on cpu"):
        step.capture()
    tokens = torch.zeros(1, 1, shape.n_ctx, dtype=torch.int64)
    with pytest.raises(KernelError, match=r"targets are \(1, 1, 16\) int32; needed: \(1, 1, 16\) int64"):
        step.step(tokens, tokens.int())
    with pytest.raises(KernelError, match=r"tokens are \(2, 1, 16\) int64"):
        step.step(tokens.expand(2, 1, 16), tokens)
    with pytest.raises(KernelError, match="no parameter 'tokens' given"):
        step.load({name: value for name, value in step.params.items() if name != "tokens"})
    with pytest.raises(KernelError, match=r"tokens is \(1, 2\); needed: \(1, 11, 16\)"):
        step.load(step.params | {"tokens": torch.zeros(1, 2)})
