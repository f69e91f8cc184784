"""Loops that benchmarks time: the plain one is the engine's own training, the idle one takes what the loop takes."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from isoflop.data import Recipe, load_corpus


def test_the_timed_loop_trains_the_model_that_the_engine_trains(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "bench"))
    bench = importlib.import_module("shakespeare")
    (tmp_path / "text.txt").write_text("the loop and the engine read one text, " * 400)
    corpus = load_corpus(Recipe(source=str(tmp_path / "text.txt"), tokenizer="char"))
    load = bench.Workload(2, 32, 2, 16, 4, n_vocab=corpus.n_vocab, bias=False)
    spec = bench.spec_of(load, corpus, 120, engine="native", precision="float32")
    loop = bench.torch_loop(load, spec, corpus, 1, bench.torch.float32)
    assert loop.losses[-1] < loop.losses[0]
    np.testing.assert_allclose(bench.native(spec, corpus).losses, loop.losses, rtol=1e-4)


def test_the_loop_without_an_engine_is_timed_for_one_model_and_for_a_stack(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "bench"))
    shakespeare, bench = importlib.import_module("shakespeare"), importlib.import_module("sweep_overhead")
    (tmp_path / "text.txt").write_text("the loop and the engine read one text, " * 400)
    corpus = load_corpus(Recipe(source=str(tmp_path / "text.txt"), tokenizer="char"))
    load = shakespeare.Workload(2, 32, 2, 16, 4, n_vocab=corpus.n_vocab, bias=False)
    spec = shakespeare.spec_of(load, corpus, 120)
    assert all(0 < bench.loop_microseconds(spec, corpus, models) < 1e5 for models in (1, 4))
