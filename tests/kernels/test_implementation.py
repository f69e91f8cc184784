"""Away from a GPU: which implementation runs, what is refused, and what an import loads. In a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ANYWHERE = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
BLOCK = """
import torch, isoflop as iso
from isoflop.kernels import FusedBlock, last_dispatch
shape = iso.Shape(n_layer=1, d_model=8, n_head=2, n_ctx=8, n_vocab=9)
x = torch.randn(1, 4, 8)
"""
WITHOUT_TRITON = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "triton":
            raise ModuleNotFoundError("No module named 'triton'", name="triton")
sys.meta_path.insert(0, Absent())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "triton" else find(name, *rest)
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=ANYWHERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_kernels_loads_neither_torch_nor_triton() -> None:
    loaded = "import sys, isoflop.kernels; print({'torch', 'triton'} & {name.split('.')[0] for name in sys.modules})"
    assert run(loaded) == "set()\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    import isoflop.kernels

    assert {"FusedBlock", "patch", "last_dispatch"} <= set(dir(isoflop.kernels))
    with pytest.raises(AttributeError, match="no attribute 'fuse'"):
        isoflop.kernels.fuse  # noqa: B018


@pytest.mark.parametrize("before", ["", WITHOUT_TRITON], ids=["with triton", "without"])
@pytest.mark.parametrize("implementation", ["auto", "reference"])
def test_away_from_a_gpu_a_block_runs_the_definitions_and_says_so(before: str, implementation: str) -> None:
    pytest.importorskip("torch")
    told = run(before + BLOCK + f"FusedBlock(shape, implementation={implementation!r})(x); print(last_dispatch())")
    assert told == str(dict.fromkeys(("norm_qkv", "attention", "linear", "mlp"), "reference")) + "\n"


def test_triton_away_from_a_gpu_is_refused() -> None:
    pytest.importorskip("triton", reason="triton is not installed: isoflop[gpu] brings it")
    caught = "\ntry: FusedBlock(shape, implementation='triton')(x)\nexcept ValueError as error: print(error)"
    told = run(BLOCK + caught)
    assert told.startswith("Triton kernels run on a GPU, and the tensors are on cpu\n  hint: implementation='auto'")


@pytest.mark.parametrize(
    "asking", ["FusedBlock(shape, implementation='triton')(x)", "import isoflop.kernels.operators"]
)
def test_where_triton_is_missing_the_error_says_what_to_install(asking: str) -> None:
    pytest.importorskip("torch")
    caught = f"\ntry: {asking}\nexcept ImportError as error: print(error)"
    told = run(WITHOUT_TRITON + BLOCK + caught)
    assert told == "triton is not installed\n  hint: pip install 'isoflop[gpu]'\n"
