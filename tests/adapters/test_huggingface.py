"""The real Trainer of transformers with the callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from adapters.models import HEADS, LAYERS, SEQ, VOCAB, D, only, tokens  # noqa: E402
from isoflop.adapters.huggingface import IsoflopCallback  # noqa: E402
from isoflop.errors import RunTaken  # noqa: E402
from isoflop.importers import import_runs  # noqa: E402
from isoflop.runs import RunStore  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # of libraries, about each other


def trainer(folder: Path, store: RunStore, **options: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=D, intermediate_size=3 * D, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, max_position_embeddings=SEQ, tie_word_embeddings=False,
    )  # fmt: skip
    rows = [{"input_ids": row, "labels": row} for row in tokens(12)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"), max_steps=6, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        logging_steps=2, eval_strategy="steps", eval_steps=3, save_strategy="no", report_to=[], use_cpu=True,
        disable_tqdm=True, learning_rate=1e-3, seed=7, **options,
    )  # fmt: skip
    return transformers.Trainer(
        transformers.LlamaForCausalLM(config), arguments, train_dataset=rows[:8], eval_dataset=rows[8:],
        callbacks=[IsoflopCallback(store, {"data": "noise"}, seq=SEQ)],
    )  # fmt: skip


def test_a_training_is_recorded_with_counts_of_the_model(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    trained = trainer(tmp_path, store)
    before = {name: weight.clone() for name, weight in trained.model.state_dict().items()}
    trained.train()
    record = only(store)
    assert record.status == "finished"
    total = 6 * 2 * 2 * SEQ
    tables = 2 * VOCAB * D
    blocks = LAYERS * (4 * D * D + 3 * D * 3 * D + 2 * D) + D
    assert record.counts["N"] == blocks
    assert record.counts["n_params"] == blocks + tables
    assert record.counts["D"] == total
    products = LAYERS * (4 * D * D + 9 * D * D) + VOCAB * D
    pairs = LAYERS * 2 * D * (SEQ * (SEQ + 1) // 2)
    assert "C_traced" not in record.environment, record.environment["C_traced"]
    assert record.counts["C_traced"] == 6 * (products + pairs / SEQ) * total
    assert record.spec["shape"] == {
        "n_layer": LAYERS, "d_model": D, "d_ff": 3 * D, "n_head": HEADS, "n_kv_head": HEADS, "n_ctx": SEQ,
        "n_vocab": VOCAB,
    }  # fmt: skip
    assert (record.spec["learning_rate"], record.spec["seed"], record.spec["data"]) == (1e-3, 7, "noise")
    points = store.points_of(record.id)
    history = trained.state.log_history
    logged = [entry["loss"] for entry in history if "loss" in entry]
    assert points["loss"][points["loss"] == points["loss"]].tolist() == pytest.approx(logged)
    assert record.result is not None
    assert record.result["loss"] == pytest.approx([entry["eval_loss"] for entry in history if "eval_loss" in entry][-1])
    assert record.result["tokens"] == total
    assert "lr" in points
    assert any((weight != before[name]).any() for name, weight in trained.model.state_dict().items())
    with pytest.raises(RunTaken):
        trainer(tmp_path, store).train()


def test_what_the_callback_recorded_is_what_the_file_of_the_trainer_tells(tmp_path: Path) -> None:
    recorded, told = RunStore(tmp_path / "store"), RunStore(tmp_path / "told")
    trained = trainer(tmp_path, recorded, include_num_input_tokens_seen="all")
    trained.train()
    trained.state.save_to_json(str(tmp_path / "trainer_state.json"))
    mapped = {"loss": "loss", "val_loss": "eval_loss", "tokens": "num_input_tokens_seen", "N": "1000"}
    import_runs(told, tmp_path / "trainer_state.json", mapped, loss_unit="nats/token", n_convention="non-embedding")
    assert only(told).result is not None
    assert only(told).result == pytest.approx(only(recorded).result)
