"""The checks of kernels/interpreted on a GPU in place of the interpreter: a plugin of pytest.

PYTHONPATH=tests python -m pytest -p proof.on_gpu tests/kernels/interpreted/check_norm.py

Tensors are made on the GPU unless a check names a device. Numbers drawn by a generator of the CPU are drawn there and
carried over, so that both see the same. Checks of what the interpreter alone can count are skipped.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

OF_THE_INTERPRETER = {"counted", "GridExecutor", "last_programs"}
"""What a check that asks for it looks into the interpreter with."""

DRAWS = {torch.randn, torch.rand, torch.randint, torch.randperm, torch.normal}
FILLS = {torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.random_, torch.Tensor.bernoulli_}


class DrawnOnTheHost(TorchFunctionMode):
    """What a generator of the CPU draws, on the GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if generator is None or generator.device.type != "cpu":
            return func(*args, **kwargs)
        if func in DRAWS and kwargs.get("device") is None:
            return func(*args, **kwargs, device="cpu").to("cuda")
        if func in FILLS and args[0].is_cuda:
            return args[0].copy_(func(torch.empty_like(args[0], device="cpu"), *args[1:], **kwargs))
        return func(*args, **kwargs)


def pytest_configure(config: pytest.Config) -> None:
    if not torch.cuda.is_available():
        raise pytest.UsageError("proof.on_gpu: torch sees no GPU here")
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise pytest.UsageError("proof.on_gpu: TRITON_INTERPRET=1 asks for the interpreter: unset it")
    torch.set_default_device("cuda")
    DrawnOnTheHost().__enter__()

    config.addinivalue_line("filterwarnings", "default")  # torch's own, of compilers and contexts

    from proof import interpreter

    interpreter.make_bfloat16_honest = lambda: None  # a GPU's is


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = "looks into the interpreter"
    for item in items:
        if isinstance(item, pytest.Function) and OF_THE_INTERPRETER & set(item.function.__code__.co_names):
            item.add_marker(pytest.mark.skip(reason=reason))
