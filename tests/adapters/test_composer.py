"""The real Trainer of Composer with the logger destination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("composer", reason="composer is not installed: it asks for an older torch")

from composer import Evaluator, Trainer  # noqa: E402
from composer.metrics import LanguageCrossEntropy  # noqa: E402
from composer.models import ComposerModel  # noqa: E402

from adapters.models import SEQ, VOCAB, Decoder, check_counts, loss_of, only, tokens  # noqa: E402
from isoflop.adapters.composer import IsoflopLogger  # noqa: E402
from isoflop.runs import RunStore  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # of libraries, about each other


class Model(ComposerModel):  # type: ignore[misc]
    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        self.decoder, self.fails_at, self.called = Decoder(), fails_at, 0

    def forward(self, batch: Any) -> Any:
        return self.decoder(batch)

    def loss(self, outputs: Any, batch: Any) -> Any:
        self.called += 1
        if self.called == self.fails_at:
            raise ValueError("no more")
        return torch.nn.functional.cross_entropy(outputs[:, :-1].reshape(-1, VOCAB), batch[:, 1:].reshape(-1))

    def eval_forward(self, batch: Any, outputs: Any = None) -> Any:
        return self(batch) if outputs is None else outputs

    def get_metrics(self, is_train: bool = False) -> dict[str, Any]:
        return {} if is_train else {"LanguageCrossEntropy": LanguageCrossEntropy(dist_sync_on_step=False)}

    def update_metric(self, batch: Any, outputs: Any, metric: Any) -> None:
        metric.update(outputs[:, :-1].reshape(-1, VOCAB), batch[:, 1:].reshape(-1))


def fit(store: RunStore, model: Model) -> None:
    logger = IsoflopLogger(store, {"seed": 0}, model=model.decoder, batch_tokens=2 * SEQ, steps=6, seq=SEQ)
    held_out = torch.utils.data.DataLoader(tokens(4), batch_size=2)
    trainer = Trainer(
        model=model, train_dataloader=torch.utils.data.DataLoader(tokens(12), batch_size=2), max_duration="6ba",
        eval_dataloader=Evaluator(label="eval", dataloader=held_out), eval_interval="3ba", device="cpu",
        optimizers=torch.optim.AdamW(model.parameters(), lr=1e-3), loggers=[logger], progress_bar=False,
    )  # fmt: skip
    try:
        trainer.fit()
    finally:
        trainer.close()


def test_a_training_is_recorded_with_counts_of_the_model(tmp_path: Path) -> None:
    store, model = RunStore(tmp_path / "store"), Model()
    fit(store, model)
    record = only(store)
    assert record.status == "finished"
    check_counts(record, 6 * 2 * SEQ)
    points = store.points_of(record.id)
    train, held_out = (points[name] == points[name] for name in ("loss", "val_loss"))
    assert points["step"][train].tolist() == [1, 2, 3, 4, 5, 6]
    assert points["step"][held_out].tolist() == [3, 6]
    assert points["tokens"][train].tolist() == [2 * SEQ * step for step in range(1, 7)]
    assert record.result is not None
    assert record.result["loss"] == points["val_loss"][held_out][-1]
    assert record.result["loss"] == pytest.approx(loss_of(model.decoder, tokens(4)).item(), rel=1e-5)


def test_a_training_that_ends_early_has_failed(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    with pytest.raises(ValueError, match="no more"):
        fit(store, Model(fails_at=3))
    record = only(store)
    assert record.status == "failed"
    assert "closed before the end" in str(record.error)
