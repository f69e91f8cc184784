"""The four lines for nanoGPT, as the page prints them, among the variables of its training loop."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import isoflop as iso  # noqa: E402
from adapters.models import SEQ, SHAPE, Decoder, loss_of, only, tokens  # noqa: E402
from isoflop.adapters.training import Training  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers.md"


def test_four_lines_record_a_run_of_nanogpt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (recipe,) = re.findall(r"^```py nanogpt\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    made, begun, logged, ended = recipe.splitlines()
    model, lr, max_iters = Decoder(), 1e-3, 4
    names = {"iso": iso, "Training": Training, "model": model, "lr": lr, "max_iters": max_iters}
    names |= {"tokens_per_iter": 2 * SEQ, "config": {"learning_rate": lr, "dataset": "noise", "compile": False}}
    exec(f"{made}\n{begun}", names)
    for iter_num in range(max_iters + 1):
        loss = loss_of(model, tokens(2))  # still on its graph, which is not kept with it
        exec(logged, names | {"iter_num": iter_num, "losses": {"train": loss, "val": loss + 1}})
    exec(ended, names)
    store = iso.RunStore("runs/nanogpt", create=False)
    record = only(store)
    assert record.counts["N"] == SHAPE.n_nonembedding
    assert record.result == {"loss": pytest.approx(loss.item() + 1, rel=1e-6), "tokens": 4 * 2 * SEQ}
    assert store.points_of(record.id)["step"].tolist() == [0, 1, 2, 3, 4]
    assert record.spec["dataset"] == "noise"
