"""Public runs beside the checkout, for tests that hold fits against published or recomputed optima."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from isoflop.laws import PRESETS, Preset

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def _rows(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"public runs not found beside the checkout: shared/data/{name}")
    with path.open() as file:
        return list(csv.DictReader(file))


def besiroglu(drop_highest: int = 5) -> dict[str, np.ndarray]:
    """The 240 points of Besiroglu 2024: 245 digitised from Hoffmann 2022 less the five highest losses."""
    rows = _rows("besiroglu2024/svg_extracted_data.csv")
    n, c, loss = (np.array([float(row[key]) for row in rows]) for key in ("Model Size", "Training FLOP", "loss"))
    keep = loss <= np.sort(loss)[-1 - drop_highest]
    return {"N": n[keep], "D": (c / (6 * n))[keep], "L": loss[keep]}


def gadre(dataset: str) -> dict[str, np.ndarray]:
    """Gadre 2024: runs on one training set, loss on C4 validation."""
    rows = [row for row in _rows("gadre2024/runs_flat.csv") if row["dataset"].startswith(dataset)]
    columns = {"N": "N", "D": "D", "L": "loss__c4_val"}
    return {name: np.array([float(row[key]) for row in rows]) for name, key in columns.items()}


def constants(name: str) -> dict[str, float]:
    """Those of a published set."""
    published = PRESETS[name]
    assert isinstance(published, Preset)
    return dict(published.values)
