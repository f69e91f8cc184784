"""Parameters of any model by part, and runs of models that tell little."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from adapters.models import SHAPE, Decoder, only  # noqa: E402
from isoflop.adapters.parameters import count_parameters, shape_of  # noqa: E402
from isoflop.adapters.training import Training  # noqa: E402
from isoflop.errors import SpecError  # noqa: E402
from isoflop.runs import RunStore  # noqa: E402


def test_tables_and_head_are_left_out_of_N_as_a_shape_leaves_them_out() -> None:
    parameters = count_parameters(Decoder())
    assert (parameters.nonembedding, parameters.total) == (SHAPE.n_nonembedding, SHAPE.n_params)
    assert parameters.tables == ("tokens", "positions", "head")


def test_a_tied_head_counts_once() -> None:
    model = Decoder()
    model.head.weight = model.tokens.weight
    parameters = count_parameters(model)
    assert parameters.unembedding == 0
    assert parameters.nonembedding == SHAPE.n_nonembedding
    assert parameters.total == SHAPE.n_params - model.tokens.weight.numel()


def test_a_last_layer_of_another_width_is_no_unembedding() -> None:
    nn = torch.nn
    parameters = count_parameters(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3)))
    assert (parameters.embedding, parameters.unembedding, parameters.nonembedding) == (40, 0, 15)
    assert shape_of(nn.Linear(1, 1)) == {}


def test_a_model_that_cannot_be_traced_is_recorded_with_the_reason(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    training = Training(store, {"seed": 0}, trainer="mine")
    training.begin(torch.nn.Bilinear(4, 4, 4), batch_tokens=8, steps=2, seq=4)
    training.log(1, {"loss": torch.tensor(2.0), "note": "x", "run": 3, "vector": torch.ones(2)})
    training.end()
    record = only(store)
    assert "C_traced" not in record.counts
    assert record.environment["C_traced"].startswith("not counted: ")
    assert record.result == {"loss": 2.0, "tokens": 8.0}
    assert set(store.points_of(record.id)) == {"step", "tokens", "loss"}


def test_a_training_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="must be positive"):
        Training(RunStore(tmp_path), {}, trainer="mine").begin(Decoder(), batch_tokens=0, steps=2)
