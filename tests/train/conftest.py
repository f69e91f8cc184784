"""A small real text and a model that learns it in a second."""

from __future__ import annotations

import asyncio
import email
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop import Shape
from isoflop.data import Corpus, load_corpus
from isoflop.train.spec import TrainSpec

TINY = Shape(n_layer=1, d_model=16, n_head=2, n_ctx=16, n_vocab=256)

MakeSpec = Callable[..., TrainSpec]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Source code of two packages: about 1e6 bytes of real text in some fifty documents."""
    folder = tmp_path_factory.mktemp("text")
    for package in (asyncio, email):
        for file in Path(str(package.__file__)).parent.glob("*.py"):
            shutil.copy(file, folder / f"{package.__name__}.{file.name}")
    return load_corpus(str(folder))


@pytest.fixture(scope="session")
def make_spec(corpus: Corpus) -> MakeSpec:
    """A spec of 40 steps on ``corpus``, with changes."""

    def make(**changes: Any) -> TrainSpec:
        tokens = changes.get("tokens", 40 * 128)
        settings: dict[str, Any] = {
            "shape": TINY,
            "corpus": corpus.fingerprint,
            "tokens": tokens,
            "unique_tokens": tokens,
            "batch_tokens": 128,
            "learning_rate": 1e-2,
            "final_learning_rate": 1e-3,
            "warmup_steps": 4,
            "eval_tokens": 2048,
        }
        return TrainSpec(**settings | changes)

    return make
