"""What the kernels refuse before any launch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
from isoflop.errors import KernelError
from isoflop.kernels import linear, norm, qkv
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.signatures import OPS


def test_tensors_on_the_host_are_refused() -> None:
    with pytest.raises(KernelError, match="x is on cpu; Triton kernels run on a GPU"):
        norm.forward(torch.ones(1, 2, 4), torch.ones(1, 4), kind="rms")


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
        linear.backward(torch.ones(1, 2, 2), torch.ones(1, 2, 5), weight, has_bias=False)
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


def test_an_optimizer_needs_all_its_hyper_parameters() -> None:
    tensors = {name: [torch.ones(1, 4)] for name in ("params", "grads", "first", "second")}
    hyper = {name: torch.ones(1).double() for name in OPS["adamw"].hyper if name != "clip"}
    with pytest.raises(KernelError, match="adamw needs clip"):
        AdamW(**tensors, decayed=[True], step=torch.zeros(1).long(), **hyper)


def test_the_definitions_load_without_triton() -> None:
    code = "import sys; from isoflop.kernels import reference, signatures; print('triton' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
