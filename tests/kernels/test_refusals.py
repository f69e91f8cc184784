"""What the kernels refuse before any launch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
from isoflop.errors import KernelError
from isoflop.kernels import (
    cross_entropy,
    cross_entropy_backward,
    embed_backward,
    linear,
    linear_backward,
    moe,
    norm,
    qkv,
)
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.muon import Muon
from isoflop.kernels.orthogonal import orthogonalise
from isoflop.kernels.signatures import OPS
from isoflop.shape import Shape
from isoflop.train.engine.triton import TrainStep


def test_tensors_on_the_host_are_refused() -> None:
    with pytest.raises(KernelError, match="x is on cpu; Triton kernels run on a GPU"):
        norm.forward(torch.ones(1, 2, 4), torch.ones(1, 4), kind="rms")


def test_labels_weights_and_gradients_of_losses_are_refused_in_words() -> None:
    x, weight, targets = torch.ones(1, 2, 4), torch.ones(1, 5, 4), torch.zeros(1, 2).long()
    row, model = torch.ones(1, 2), torch.ones(1)
    with pytest.raises(KernelError, match="linear_cross_entropy: targets is int32; allowed: int64"):
        cross_entropy.forward(x, weight, targets.int())
    with pytest.raises(KernelError, match="linear_cross_entropy: axis M is 3 in weights and 2 in x"):
        cross_entropy.forward(x, weight, targets, torch.ones(1, 3))
    with pytest.raises(KernelError, match="x is on cpu; Triton kernels run on a GPU"):
        cross_entropy.forward(x, weight, targets)
    with pytest.raises(KernelError, match="axis M is 1 in lse and 2 in x"):
        cross_entropy_backward.backward(x, weight, targets, row[:, :1].clone(), model)


def test_tokens_of_another_batch_than_the_gradient_are_refused() -> None:
    with pytest.raises(KernelError, match="embed_backward: axis T is 4 in tokens and 3 in dy"):
        embed_backward.backward(torch.ones(1, 2, 3, 8), torch.zeros(1, 2, 4).long(), n_vocab=5)


def test_an_unknown_norm_is_refused_with_the_nearest() -> None:
    with pytest.raises(KernelError, match=r"no norm 'layers'\n  hint: did you mean 'layer'\?"):
        norm.forward(torch.ones(1, 2, 4), torch.ones(1, 4), kind="layers")


def test_mismatched_models_are_refused() -> None:
    with pytest.raises(KernelError, match="axis K is 2 in gain and 1 in x"):
        norm.forward(torch.ones(1, 2, 4), torch.ones(2, 4), kind="rms")


def test_a_linear_layer_refuses_a_weight_of_another_width() -> None:
    x, weight = torch.ones(1, 2, 4), torch.ones(1, 3, 5)
    with pytest.raises(KernelError, match="linear: axis I is 5 in weight and 4 in x"):
        linear.forward(x, weight)
    with pytest.raises(KernelError, match="linear_backward: axis O is 3 in weight and 2 in dy"):
        linear_backward.backward(torch.ones(1, 2, 2), torch.ones(1, 2, 5), weight, has_bias=False)
    with pytest.raises(KernelError, match="x is on cpu; Triton kernels run on a GPU"):
        linear.forward(x, torch.ones(1, 3, 4))


@pytest.mark.parametrize(
    ("outputs", "heads", "base", "message"),
    [
        (9, (2, 1), None, r"weight has 9 rows, which do not divide by 2 \+ 2 x 1 heads"),
        (12, (2, 0), None, "2 heads of queries cannot share 0 of keys and values"),
        (12, (3, 2), None, "3 heads of queries cannot share 2 of keys and values"),
        (12, (2, 1), 100.0, "heads are 3 wide; only an even width turns by pairs"),
        (12, (2, 1), None, "x is on cpu; Triton kernels run on a GPU"),
    ],
)
def test_heads_that_do_not_fit_are_refused(
    outputs: int, heads: tuple[int, int], base: float | None, message: str
) -> None:
    tensors = torch.ones(1, 2, 3, 4), torch.ones(1, 4), None, torch.ones(1, outputs, 4)
    with pytest.raises(KernelError, match=message):
        qkv.forward(*tensors, kind="rms", n_head=heads[0], n_kv_head=heads[1], base=base)


@pytest.mark.parametrize(
    ("experts", "inner", "settings", "message"),
    [
        (3, 5, {"kind": "gelu"}, "moe: w_in has 5 rows an expert; gelu with d_ff 6 takes 6"),
        (3, 6, {"kind": "swiglu"}, "swiglu with d_ff 6 takes 12"),
        (3, 6, {"kind": "gleu"}, r"no activation 'gleu'\n  hint: did you mean 'gelu'"),
        (3, 6, {"top_k": 4}, "moe: top_k is 4; it must be from 1 to the 3 experts"),
        (3, 6, {"capacity_factor": -1.0}, "capacity_factor is -1.0; it must be above 0"),
        (257, 6, {}, "moe: 257 experts; the kernels hold at most 256"),
        (9, 6, {"top_k": 9}, r"moe: 9 choices a row \(top_k\); the kernels hold at most 8"),
        (3, 6, {}, "x is on cpu; Triton kernels run on a GPU"),
    ],
)
def test_a_mixture_refuses_what_it_cannot_route(
    experts: int, inner: int, settings: dict[str, Any], message: str
) -> None:
    weights = torch.ones(1, experts, 4), torch.ones(1, experts, inner, 4), torch.ones(1, experts, 4, 6)
    with pytest.raises(KernelError, match=message):
        moe.forward(torch.ones(1, 2, 4), *weights, **{"kind": "gelu", "top_k": 2} | settings)


def test_an_optimizer_needs_all_its_hyper_parameters() -> None:
    tensors = {name: [torch.ones(1, 4)] for name in ("params", "grads", "first", "second")}
    hyper = {name: torch.ones(1).double() for name in OPS["adamw"].hyper if name != "clip"}
    with pytest.raises(KernelError, match="adamw needs clip"):
        AdamW(**tensors, decayed=[True], step=torch.zeros(1).long(), **hyper)


def test_muon_takes_matrices_alone() -> None:
    hyper = {name: torch.ones(1).double() for name in OPS["muon"].hyper}
    vector, matrix = ([torch.ones(1, *shape)] for shape in ((4,), (4, 3)))
    with pytest.raises(KernelError, match=r"params\[0\] has shape \(1, 4\); its axes are \(K, O, I\) or"):
        Muon(vector, vector, vector, **hyper)
    with pytest.raises(KernelError, match="muon needs momentum"):
        Muon(matrix, matrix, matrix, **{name: value for name, value in hyper.items() if name != "momentum"})
    with pytest.raises(KernelError, match=r"params\[0\] is on cpu; Triton kernels run on a GPU"):
        Muon(matrix, matrix, matrix, **hyper)
    with pytest.raises(KernelError, match="steps is 0"):
        orthogonalise(matrix[0], steps=0)
    with pytest.raises(KernelError, match=r"of torch\.float64; steps are 1 or more"):
        orthogonalise(matrix[0], dtype=torch.float64)


SMALL = {"n_layer": 1, "d_model": 16, "n_head": 2, "n_ctx": 8, "n_vocab": 11}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kv_lora_rank": 4}, "this engine trains no shape with kv_lora_rank = 4"),
        ({"architecture": "encoder"}, "this engine trains no shape with architecture = 'encoder'"),
        ({"n_predict": 1}, "this engine trains no shape with n_predict = 1"),
        ({"d_head": 258}, "heads of 258 channels; attention in Triton takes 256 at most"),
    ],
)
def test_shapes_that_no_kernels_train_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(KernelError, match=message):
        TrainStep(Shape(**SMALL, **fields), models=1, batch=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": 0}, "models is 0; it must be 1 or more"),
        ({"batch": 3, "micro_batches": 2}, "a batch of 3 sequences does not divide into 2 micro-batches"),
        ({"dtype": torch.float64}, "dtype is float64; allowed: float32, float16, bfloat16"),
        ({"seeds": [1]}, "1 seeds for 2 models"),
        ({"lrate": 0.1}, r"no hyper-parameter 'lrate'\n  hint: did you mean 'lr'\?"),
        ({"lr": [0.1, 0.2, 0.3]}, r"lr has \(3,\) values; one, or one for each of 2 models"),
        ({}, "TrainStep: the model is on cpu; Triton kernels run on a GPU"),
    ],
)
def test_a_training_step_that_does_not_go_is_refused(changed: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"models": 2, "batch": 2, "device": "cpu"} | changed
    with pytest.raises(KernelError, match=message):
        TrainStep(Shape(**SMALL), **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(KernelError, match=r"torch sees no GPU\n  hint: engine = \"native\""):
        TrainStep(Shape(**SMALL), models=1, batch=1)


def test_the_definitions_load_without_triton() -> None:
    code = "import sys; from isoflop.kernels import reference, signatures; print('triton' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
