"""How often the likeliest token is the right one, alone and in stretches: metrics that seem to emerge.

A stretch of k tokens is known where each of them is the likeliest, given what truly came before: then and only then
does greedy decoding write it. Losses fall smoothly where the share of known stretches, about the k-th power of the
accuracy, jumps (Schaeffer et al. 2023, arXiv 2304.15004, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def accuracy(hits: Tensor) -> dict[str, float]:
    """The share of ``hits`` (windows, n_ctx) bool as a column of a point."""
    return {"val_accuracy": float(hits.double().mean())}


def exact_match(hits: Tensor, lengths: Sequence[int]) -> dict[str, float]:
    """For each length k, the share of stretches without a miss: k tokens each, end to end from a window's start."""
    shares = {}
    for k in lengths:
        stretches = hits[:, : hits.shape[1] // k * k].reshape(-1, k)
        shares[f"val_exact_match_{k}"] = float(stretches.all(dim=1).double().mean())
    return shares
