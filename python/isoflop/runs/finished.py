"""The finished runs of a store as columns for a fit of their last losses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from isoflop.fitting.data import FitData
from isoflop.runs.listing import every
from isoflop.runs.record import NConvention, in_total

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore


def read_finished(store: RunStore, runs: Collection[str] | None, n_convention: NConvention) -> FitData:
    """See :meth:`isoflop.RunStore.fit_data`."""
    rows, excluded = [], []
    for record in every(store):
        if runs is not None and record.id not in runs:
            continue
        counts = in_total(record.counts) if n_convention == "total" else record.counts
        lacking = [name for name in ("N", "D", "C") if name not in counts]
        if record.status != "finished" or record.result is None:
            excluded.append(f"run {record.id}: {store.state(record)}")
        elif lacking:
            also = (
                "; n_convention='total' (--n-convention total) takes its n_params"
                if "n_params" in counts and "N" in lacking
                else ""
            )
            excluded.append(f"run {record.id}: recorded without counts of {', '.join(lacking)}{also}")
        else:
            unique = min(counts.get("U", np.nan), record.result.get("tokens", counts["D"]))
            rows.append((*end_of(counts, record.result), unique))
    columns = dict(zip("NDCLU", np.array(rows, float).reshape(-1, 5).T, strict=True))
    if np.isnan(columns["U"]).any():
        del columns["U"]
    return FitData(columns, tuple(excluded), store.url, n_convention=n_convention, distinct=True)


def end_of(counts: Mapping[str, float], result: Mapping[str, float]) -> tuple[float, float, float, float]:
    """N, D, C and L of a finished run, D and C being those at which the loss was measured."""
    n, d, c = (counts[name] for name in ("N", "D", "C"))
    seen = result.get("tokens", d)
    return n, seen, c * seen / d, result["loss"]
