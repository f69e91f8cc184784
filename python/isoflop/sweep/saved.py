"""What early stopping by prediction has saved."""

from __future__ import annotations

from collections.abc import Sequence

from isoflop.runs import RunStore, run_id
from isoflop.train.spec import TrainSpec


def saved_flops(specs: Sequence[TrainSpec], store: RunStore) -> float:
    """Training FLOPs, of all matrix products, that runs of ``specs`` did not take because their end was foreseen."""
    saved = 0.0
    for spec in specs:
        record = store.get(run_id(spec.to_dict())) if spec.early_stop else None
        if record is not None and record.result is not None and "stopped_at" in record.result:
            saved += spec.counts()["C_exact_causal"] * (1 - record.result["stopped_at"] / spec.n_steps)
    return saved
