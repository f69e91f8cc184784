"""A real Accelerator with the tracker."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")

from adapters.models import SEQ, Decoder, check_counts, loss_of, only, tokens  # noqa: E402
from isoflop.adapters.accelerate import IsoflopTracker  # noqa: E402
from isoflop.errors import SpecError  # noqa: E402
from isoflop.runs import RunStore  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # of libraries, about each other


def test_a_training_is_recorded_with_counts_of_the_model(tmp_path: Path) -> None:
    store, model = RunStore(tmp_path / "store"), Decoder()
    tracker = IsoflopTracker(
        store, {"data": "noise"}, model=model, batch_tokens=2 * SEQ, steps=4, seq=SEQ, names={"train": "loss"}
    )
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("project", config={"lr": 1e-3})
    model, optimizer, data = accelerator.prepare(
        model, torch.optim.AdamW(model.parameters(), lr=1e-3), torch.utils.data.DataLoader(tokens(8), batch_size=2)
    )
    losses = []
    for step, batch in enumerate(data, 1):
        loss = loss_of(model, batch)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        accelerator.log({"train": loss.detach(), "epoch": 0}, step=step)
    with pytest.raises(SpecError, match="a point has a step"):
        accelerator.log({"train": 1.0})
    accelerator.log({"val_loss": 3.25}, step=4)
    accelerator.end_training()
    record = only(store)
    check_counts(record, 4 * 2 * SEQ)
    assert (record.spec["lr"], record.spec["data"]) == (1e-3, "noise")
    assert record.result == {"loss": 3.25, "tokens": 4 * 2 * SEQ}
    assert store.points_of(record.id)["loss"][:4].tolist() == pytest.approx(losses)
