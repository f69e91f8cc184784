"""What chosen runs are worth among real ones. ``python bench/design_real.py``, with ``../shared/data/porian2024``.

20 of the runs of Porian et al. 2024 (arXiv 2406.19146) are chosen, for constants of another paper and without a look at
any loss; the law is fitted to these 20, and the error on all others is printed, beside those of 20 runs at random, on
grids and on isoFLOP profiles that cost at most as many FLOPs.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoflop.designing import design
from isoflop.fitting import fit

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Columns = Mapping[str, Array]

PORIAN = Path(__file__).resolve().parents[2] / "shared" / "data" / "porian2024" / "isoflop_points.csv"
NOISE = 0.004
MISFITS = (0.0, 0.02, 0.05)

SETS = (
    ("summary_df", "rw", "tuned", "short", "const"),
    ("summary_df_owt2", "owt2", "tuned", "short", "const"),
    ("summary_df", "rw", "base", "short", "chinchilla"),
    ("summary_df_owt2", "owt2", "base", "short", "chinchilla"),
)
"""Of Porian et al.: file, corpus, hyperparameters, warm-up and schedule; all count N alike and evaluate alike."""
_OF_SET = ("file", "dataset", "hparams", "warmup", "decay", "param_count")
REAL_RATIOS = (2.0, 500.0)
CHOSEN, SHARES = 20, (0.1, 0.02)
"""Runs that are chosen, and their FLOPs as a share of those of all runs of the set."""


def real_runs(which: tuple[str, ...]) -> dict[str, Array]:
    """N, D, C and L of the runs of a set whose tokens per parameter are those of language models."""
    with PORIAN.open() as file:
        rows = [row for row in csv.DictReader(file) if tuple(row[name] for name in _OF_SET) == (*which, "standard")]
    named = zip("NDCL", ("N", "D", "flops", "loss"), strict=True)
    found = {key: np.array([float(row[name]) for row in rows]) for key, name in named}
    ratio = found["D"] / found["N"]
    kept = (ratio > REAL_RATIOS[0]) & (ratio < REAL_RATIOS[1])
    return {name: values[kept] for name, values in found.items()}


def measured_noise(runs: Columns) -> float:
    """Scatter of ln L about a cubic of ln N through each isoFLOP profile of six runs or more."""
    squares, spare = 0.0, 0
    for budget in np.unique(runs["C"]):
        row = runs["C"] == budget
        if (count := int(row.sum())) >= 6:
            x, y = np.log(runs["N"][row]), np.log(runs["L"][row])
            squares += float(np.sum((y - np.polyval(np.polyfit(x - x.mean(), y, 3), x - x.mean())) ** 2))
            spare += count - 4
    return math.sqrt(squares / spare)


def error_on_others(runs: Columns, picked: Rows) -> float:
    """Root mean square of ln(predicted/L) on the runs that were not picked, of a fit to those that were."""
    rest = np.setdiff1d(np.arange(runs["N"].size), picked)
    fitted = fit("chinchilla", {name: values[picked] for name, values in runs.items()}, starts=8)
    errors = np.log(fitted.predict(N=runs["N"][rest], D=runs["D"][rest]) / runs["L"][rest])
    return float(np.sqrt(np.mean(errors**2)))


def picked_by_design(runs: Columns, budget: float, seed: int, misfit: float) -> Rows:
    """Runs that make the losses of all runs the surest; no loss is looked at."""
    found = design(
        "chinchilla-besiroglu",
        budget,
        [f"L(N={n}, D={d})" for n, d in zip(runs["N"].tolist(), runs["D"].tolist(), strict=True)],
        candidates={name: runs[name] for name in ("N", "D", "C")},
        runs=CHOSEN,
        replicates=1,
        noise=NOISE,
        misfit=misfit,
        draws=12,
        seed=seed,
    )
    return np.array([run.candidate for run in found.runs])


def picked_at_random(runs: Columns, rng: np.random.Generator) -> Rows:
    return rng.permutation(runs["N"].size)[:CHOSEN]


def picked_as_grid(runs: Columns, rng: np.random.Generator) -> Rows:
    """The runs nearest to a grid of five N by four D from near the smallest of both to as far as chance says."""
    logs = np.log([runs["N"], runs["D"]])
    ends = [
        (axis.min() + np.ptp(axis) * rng.uniform(0, 0.2), axis.max() - np.ptp(axis) * rng.uniform(0, 0.6))
        for axis in logs
    ]
    left, picked = list(range(logs.shape[1])), []
    for x in np.linspace(*ends[0], 5):
        for y in np.linspace(*ends[1], 4):
            picked.append(min(left, key=lambda k: float((logs[0, k] - x) ** 2 + (logs[1, k] - y) ** 2)))
            left.remove(picked[-1])
    return np.array(picked)


def picked_as_profiles(runs: Columns, rng: np.random.Generator) -> Rows:
    """Four isoFLOP profiles at random, five sizes of each, evenly over it."""
    budgets = [budget for budget in np.unique(runs["C"]) if np.count_nonzero(runs["C"] == budget) >= 5]
    picked: list[int] = []
    for budget in rng.choice(budgets, 4, replace=False):
        row = np.flatnonzero(runs["C"] == budget)
        row = row[np.argsort(runs["N"][row])]
        picked += row[np.linspace(0, row.size - 1, 5).round().astype(int)].tolist()
    return np.array(picked)


PICKED: Mapping[str, Callable[[Columns, np.random.Generator], Rows]] = {
    "random": picked_at_random,
    "grid": picked_as_grid,
    "profiles": picked_as_profiles,
}


def affordable(pick: Callable[[Columns, np.random.Generator], Rows], runs: Columns, budget: float, seed: int) -> Rows:
    """The first pick of a seed that spends between half the budget and all of it."""
    rng = np.random.default_rng(seed)
    while True:
        picked = pick(runs, rng)
        if budget / 2 <= runs["C"][picked].sum() <= budget:
            return picked


def subsample(seeds: int) -> None:
    """Print the errors on real runs that were not picked."""
    print(f"\n{CHOSEN} of the real runs, the error on all others: median and the middle 80 % of {seeds} seeds")
    for which in SETS:
        runs = real_runs(which)
        every = fit("chinchilla", runs).residual_rms
        noise = measured_noise(runs)
        for share in SHARES:
            budget = share * float(runs["C"].sum())
            print(f"{' '.join(which)}: {runs['N'].size} runs, {share:.0%} of their FLOPs")
            print(f"  fitted to all        {every:.4f}; scatter of runs {noise:.4f}")
            for name, pick in PICKED.items():
                picks = [affordable(pick, runs, budget, seed) for seed in range(seeds)]
                _print(name, [error_on_others(runs, picked) for picked in picks])
            for misfit in MISFITS:
                few = range(max(3, seeds // 16))
                errors = [error_on_others(runs, picked_by_design(runs, budget, seed, misfit)) for seed in few]
                _print(f"chosen, misfit {misfit:g}", errors)


def _print(name: str, errors: list[float]) -> None:
    low, middle, high = np.quantile(errors, [0.1, 0.5, 0.9])
    print(f"  {name:20} {middle:.4f}  [{low:.4f}, {high:.4f}]  {len(errors)} seeds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    subsample(parser.parse_args().seeds)


if __name__ == "__main__":
    main()
