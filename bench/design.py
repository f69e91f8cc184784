"""What chosen runs are worth against grids and isoFLOP profiles of the same FLOPs. ``python bench/design.py``.

Runs of a known law with noise are made by every design many times over and fitted; the width of the 95 % interval of
the answer over them is printed, with its bias. Runs are chosen for other constants than the true ones, once with the
law taken at its word (misfit 0) and once with it doubted; and in two rounds, the second chosen from a fit to the first,
which is the median over rounds with noise of their own. ``bench/design_real.py`` does it on real runs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.designing import Design, Space, design
from isoflop.designing.target import Target, read_targets
from isoflop.errors import IsoflopError
from isoflop.fitting import fit
from isoflop.fitting.data import FitData
from isoflop.fitting.objective import LeastSquares
from isoflop.fitting.problem import Problem
from isoflop.fitting.resampling import refit_targets
from isoflop.fitting.starts import starting_points
from isoflop.laws import LAWS, PRESETS, Law

Array = NDArray[np.float64]
Columns = Mapping[str, Array]

BUDGET, SMALLEST = 1e20, 1e6
"""FLOPs, and parameters of the smallest model, of every design alike."""
RUNS = (25, 64)
RATIOS = (1.0, 1000.0)
"""Of tokens per parameter, likewise."""
SPACE = Space(n_params=(SMALLEST, 4e9), tokens_per_param=RATIOS)
TARGETS = ("L_opt(1e23)", "N_opt(1e23)", "a")
MISFITS = (0.0, 0.02)
ROUNDS = 7
"""Times that the two rounds are made, each with noise of its own."""
KNOWN = 0.01
"""Doubt of constants that are known."""
NOISE = 0.002
"""Of ln L between runs: what ``bench/design_real.py`` measures on real ones."""


@dataclass(frozen=True)
class Truth:
    """A world: the law that is true, the one that is fitted, and the constants that are presumed before any run."""

    name: str
    law: Law
    params: Mapping[str, float]
    fitted: Law
    presumed: Mapping[str, float]


def truths() -> list[Truth]:
    """Four worlds: in the last the fitted law is wrong."""
    chinchilla, kaplan = LAWS["chinchilla"], LAWS["kaplan"]
    besiroglu = PRESETS["chinchilla-besiroglu"].values
    tied = dict(PRESETS["chinchilla-hoffmann"].values) | {"alpha": 0.35, "beta": 0.35, "A": 480.0, "B": 1500.0}
    kaplan_true = PRESETS["kaplan-table2"].values
    kaplan_presumed = {"alpha_N": 0.09, "alpha_D": 0.09, "N_c": 2e13, "D_c": 1e13}
    skaling = {"E": 1.6, "A": 60.0, "alpha": 0.40, "R": 2.4, "beta": 0.42, "k": 0.75}
    return [
        Truth("chinchilla (Hoffmann)", chinchilla, PRESETS["chinchilla-hoffmann"].values, chinchilla, besiroglu),
        Truth("Kaplan L(N, D)", kaplan, kaplan_true, kaplan, kaplan_presumed),
        Truth("alpha = beta", chinchilla, tied, chinchilla, besiroglu),
        Truth("misspecified (skaling)", LAWS["skaling"], skaling, chinchilla, besiroglu),
    ]


def log_grid(runs: int) -> dict[str, Array]:
    """Equal steps of ln N and ln D over the region that all designs have: the grid of most runs up to ``runs``."""

    def of(size: int) -> Callable[[float], dict[str, Array]]:
        def grid(step: float) -> dict[str, Array]:
            powers = step ** np.arange(size)
            n, d = (
                a.ravel() for a in np.meshgrid(SMALLEST * powers, (RATIOS[0] * RATIOS[1]) ** 0.5 * SMALLEST * powers)
            )
            kept = (d >= RATIOS[0] * n) & (d <= RATIOS[1] * n)
            return {"N": n[kept], "D": d[kept]}

        return grid

    grids = [_scaled(of(size)) for size in range(3, runs)]
    return max((grid for grid in grids if grid["N"].size <= runs), key=lambda grid: grid["N"].size)


def ratio_grid(runs: int) -> dict[str, Array]:
    """Equal steps of ln N, and as many tokens per parameter from 5 to 80."""
    size = round(runs**0.5)

    def grid(step: float) -> dict[str, Array]:
        n = np.repeat(SMALLEST * step ** np.arange(size), size)
        return {"N": n, "D": n * np.tile(np.geomspace(5, 80, size), size)}

    return _scaled(grid)


def profiles(runs: int) -> dict[str, Array]:
    """IsoFLOP profiles of as many sizes, 16-fold about 20 tokens per parameter."""
    size = round(runs**0.5)

    def of(step: float) -> dict[str, Array]:
        c = np.repeat(120 * (4 * SMALLEST) ** 2 * step ** (2 * np.arange(size)), size)
        n = np.sqrt(c / 120) * np.tile(np.geomspace(1 / 4, 4, size), size)
        return {"N": n, "D": c / (6 * n)}

    return _scaled(of)


DESIGNS: Mapping[str, Callable[[int], dict[str, Array]]] = {
    "grid N x D": log_grid,
    "grid N x D/N": ratio_grid,
    "profiles": profiles,
}


def _scaled(of: Callable[[float], dict[str, Array]]) -> dict[str, Array]:
    """The design whose steps spend the budget."""
    low, high = 1.0, 100.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        runs = of(middle)
        low, high = (middle, high) if 6 * (runs["N"] @ runs["D"]) < BUDGET else (low, middle)
    return of(low)


def chosen(truth: Truth, target: str, noise: float, runs: int, misfit: float) -> dict[str, Array]:
    """Runs chosen for the presumed constants."""
    found = design(
        truth.fitted, BUDGET, target, start=truth.presumed, noise=noise, runs=runs, misfit=misfit, space=SPACE
    )
    return _runs(found)


def chosen_by_truth(truth: Truth, target: str, noise: float, runs: int) -> dict[str, Array]:
    """Runs chosen for the constants that are true, which nobody knows: what a choice can come to at most."""
    return _runs(
        design(
            truth.law, BUDGET, target, start=truth.params, noise=noise, runs=runs, misfit=0, doubt=KNOWN, space=SPACE
        )
    )


def chosen_in_two(truth: Truth, target: str, noise: float, runs: int, seed: int) -> dict[str, Array]:
    """Half of the runs and FLOPs chosen for the presumed constants, the rest from a fit to what these gave."""
    half: dict[str, Any] = {"noise": noise, "misfit": 0, "space": SPACE}
    first = _runs(design(truth.fitted, BUDGET / 2, target, start=truth.presumed, runs=runs // 2, **half))
    noisy = np.exp(noise * np.random.default_rng(seed).standard_normal(first["N"].size))
    so_far = fit(truth.fitted, {**first, "L": truth.law.predict(truth.params, **first) * noisy})
    second = _runs(design(so_far, BUDGET / 2, target, runs=runs - first["N"].size, **half))
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def _runs(found: Design) -> dict[str, Array]:
    times = [len(run.seeds) for run in found.runs]
    n, d = ([getattr(run, name) for run in found.runs] for name in ("n_params", "n_tokens"))
    return {"N": np.repeat(n, times), "D": np.repeat(d, times)}


def spread(truth: Truth, runs: Columns, target: str, noise: float, repeats: int, seed: int) -> tuple[float, float]:
    """Width of the 95 % interval of the answer over repeats of all runs, and its median less the truth.

    Both of logarithms where the target is a size or a loss.
    """
    loss = truth.law.predict(truth.params, **runs)
    exact = Problem.of(truth.fitted, FitData({**runs, "L": loss}), LeastSquares())
    near = exact.free(np.array([[truth.presumed[name] for name in truth.fitted.names]]))
    starts = np.vstack([near, starting_points(exact, 4)])
    noisy = exact.y + noise * np.random.default_rng(seed).standard_normal((repeats, loss.size))
    refits = refit_targets(exact, noisy, starts)
    (asked,), (true,) = read_targets(target, truth.fitted), read_targets(target, truth.law)
    params = exact.natural(refits.vectors)
    answers = np.array([_answer(asked, row[None]) for row in params])
    answers = np.where(np.isfinite(answers), answers, np.inf)
    low, middle, high = np.quantile(answers, [0.025, 0.5, 0.975], method="nearest")
    exactly = true.scaled(np.array([[truth.params[name] for name in truth.law.names]]))[0]
    return float(high - low), float(middle - exactly)


def _middle(found: list[tuple[float, float]]) -> tuple[float, float]:
    """The medians of widths and of biases."""
    width, bias = np.median(found, axis=0)
    return float(width), float(bias)


def _answer(asked: Target, row: Array) -> float:
    try:
        return float(asked.scaled(row)[0])
    except IsoflopError:
        return math.inf


def simulate(noise: float, repeats: int, most: Sequence[int]) -> None:
    """Print the widths of intervals over the worlds."""
    for runs in most:
        print(f"\n{runs} runs at most, {BUDGET:.0e} FLOP, N >= {SMALLEST:.0e}, D/N {RATIOS}, noise {noise:.2%}")
        for truth in truths():
            for target in TARGETS:
                made = {name: of(runs) for name, of in DESIGNS.items()}
                made |= {f"chosen, misfit {m:g}": chosen(truth, target, noise, runs, m) for m in MISFITS}
                if truth.law is truth.fitted:
                    made["chosen by the truth"] = chosen_by_truth(truth, target, noise, runs)
                found = {name: spread(truth, each, target, noise, repeats, 0) for name, each in made.items()}
                twice = [chosen_in_two(truth, target, noise, runs, seed) for seed in range(1, ROUNDS + 1)]
                found["chosen in two rounds"] = _middle(
                    [spread(truth, each, target, noise, repeats, seed) for seed, each in enumerate(twice, 1)]
                )
                made["chosen in two rounds"] = twice[0]
                own = found[f"chosen, misfit {MISFITS[0]:g}"][0]
                print(f"{truth.name}, {target}")
                for name, (width, bias) in found.items():
                    count = made[name]["N"].size
                    print(f"  {name:21} {count:3} runs  width {width:.4f}  {width / own:5.2f}x  bias {bias:+.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=NOISE)
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS)
    given = parser.parse_args()
    simulate(given.noise, given.repeats, given.runs)


if __name__ == "__main__":
    main()
