"""The real Trainer of Lightning with the logger and the callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")

from adapters.models import SEQ, Decoder, check_counts, loss_of, only, tokens  # noqa: E402
from isoflop.adapters.lightning import IsoflopCallback, IsoflopLogger  # noqa: E402
from isoflop.errors import SpecError  # noqa: E402
from isoflop.runs import RunStore  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # of libraries, about each other


class Module(lightning.LightningModule):  # type: ignore[misc,name-defined]
    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        self.decoder, self.fails_at = Decoder(), fails_at

    def training_step(self, batch: Any, index: int) -> Any:
        if index == self.fails_at:
            raise ValueError("no more")
        loss = loss_of(self.decoder, batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", loss_of(self.decoder, batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def fit(store: RunStore, folder: Path, module: Module, *, callback: bool = True) -> None:
    logger = IsoflopLogger(store, {"seed": 0}, batch_tokens=2 * SEQ, seq=SEQ, model="decoder")
    trainer = lightning.Trainer(
        max_steps=6, logger=logger, callbacks=[IsoflopCallback(logger)] if callback else [], accelerator="cpu",
        log_every_n_steps=2, val_check_interval=3, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    data = torch.utils.data.DataLoader(tokens(12), batch_size=2)
    trainer.fit(module, data, torch.utils.data.DataLoader(tokens(4), batch_size=2))


def test_a_training_is_recorded_with_counts_of_the_model(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    fit(store, tmp_path, Module())
    record = only(store)
    assert record.status == "finished"
    check_counts(record, 6 * 2 * SEQ)
    points = store.points_of(record.id)
    there = points["loss"] == points["loss"]
    assert points["step"][there].tolist() == [2, 4, 6]
    assert points["tokens"][there].tolist() == [2 * 2 * SEQ, 4 * 2 * SEQ, 6 * 2 * SEQ]
    assert record.result is not None
    assert record.result["loss"] == points["val_loss"][points["val_loss"] == points["val_loss"]][-1]


def test_an_error_of_the_training_stands_in_the_record(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    with pytest.raises(ValueError, match="no more"):
        fit(store, tmp_path, Module(fails_at=3))
    record = only(store)
    assert (record.status, record.error) == ("failed", "ValueError: no more")


def test_a_logger_without_its_callback_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no run was begun"):
        fit(RunStore(tmp_path / "store"), tmp_path, Module(), callback=False)
