"""Chinchilla's law fitted to one table of runs by every tool that may be installed; each is imported when it is asked.

A fitter takes columns N, D and L and gives the parameters and the law as a function of N and D. ``huber_sum`` is what
all are measured by: the sum of Huber losses of log losses that Hoffmann et al. 2022 (arXiv 2203.15556, section 3.3)
minimise. Some minimise something else, which is no fault of theirs.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

DELTA = 1e-3
"""Where the Huber loss of a log loss turns from a parabola into a line."""

STARTS: Mapping[str, Sequence[float]] = {
    "a": (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),
    "b": (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),
    "e": (-1.0, -0.5, 0.0, 0.5, 1.0),
    "alpha": (0.0, 0.5, 1.0, 1.5, 2.0),
    "beta": (0.0, 0.5, 1.0, 1.5, 2.0),
}
"""The 4500 starts of Hoffmann et al.; a, b and e are logarithms of A, B and E."""

SHARE = 100
"""Of the 4500 starts, every so manieth is made by ``by_scipy``."""

NEAR: Mapping[str, list[float]] = {
    "E": np.exp([0.0, 0.5, 1.0]).tolist(),
    "A": np.exp([0.0, 5.0, 10.0]).tolist(),
    "B": np.exp([5.0, 10.0, 15.0]).tolist(),
    "alpha": [0.0, 0.5, 1.0],
    "beta": [0.0, 0.5, 1.0],
}
"""Those 243 of them that lie about the answer."""

Columns = Mapping[str, np.ndarray]
Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
Fitted = tuple[Mapping[str, float], Predict]


def points() -> Columns:
    """240 runs of Chinchilla's law, 12 sizes by 20 lengths, with noise of half a percent: the same at every call."""
    n, d = (each.ravel() for each in np.meshgrid(np.geomspace(5e7, 1.6e10, 12), np.geomspace(1e9, 5e11, 20)))
    noise = np.random.default_rng(0).normal(0, 0.005, n.size)
    return {"N": n, "D": d, "L": (1.82 + 482 / n**0.348 + 2085 / d**0.366) * np.exp(noise)}


def additive(p: Mapping[str, float]) -> Predict:
    """Chinchilla's law of these parameters."""
    return lambda n, d: p["E"] + p["A"] / n ** p["alpha"] + p["B"] / d ** p["beta"]


def huber_sum(data: Columns, predict: Predict) -> float:
    """Of the Huber losses of all log losses, at ``DELTA``."""
    residuals = np.log(predict(data["N"], data["D"]) / data["L"])
    size = np.abs(residuals)
    return float(np.where(size <= DELTA, residuals**2 / 2, DELTA * (size - DELTA / 2)).sum())


def by_isoflop(data: Columns, *, huber: bool = True) -> Fitted:
    """This package's, to the certified optimum; least squares of logarithms where not ``huber``."""
    from isoflop.fitting import Huber, LeastSquares, fit

    params = fit("chinchilla", dict(data), objective=Huber(DELTA) if huber else LeastSquares()).params
    return params, additive(params)


def by_scipy(data: Columns) -> Fitted:
    """As papers do: L-BFGS-B from many starts, with exact gradients of the sum in logarithms; the best end counts."""
    from scipy.optimize import minimize

    log_n, log_d, log_loss = (np.log(data[name]) for name in "NDL")

    def value(p: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, e, alpha, beta = p
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
        top = terms.max(0)
        shares = np.exp(terms - top)
        whole = shares.sum(0)
        residuals = top + np.log(whole) - log_loss
        size = np.abs(residuals)
        total = np.where(size <= DELTA, residuals**2 / 2, DELTA * (size - DELTA / 2)).sum()
        pull = np.clip(residuals, -DELTA, DELTA) * shares / whole
        return total, np.array([*pull.sum(1), -(pull[0] @ log_n), -(pull[1] @ log_d)])

    starts = [*itertools.product(*STARTS.values())][::SHARE]
    best = min((minimize(value, start, jac=True, method="L-BFGS-B") for start in starts), key=lambda end: end.fun).x
    params = dict(zip(("A", "B", "E", "alpha", "beta"), [*np.exp(best[:3]), *best[3:]], strict=True))
    return params, additive(params)


def by_chinchilla(data: Columns, *, huber: bool = True, parallel: bool = False) -> Fitted:
    """The package ``chinchilla``, from the starts ``NEAR``, by its own objective where not ``huber``."""
    package = importlib.import_module("chinchilla")
    loss = functools.partial(importlib.import_module("chinchilla._metrics").log_huber, delta=DELTA)
    with TemporaryDirectory() as folder:
        table = np.stack([6 * data["N"] * data["D"], data["N"], data["D"], data["L"]], axis=1)
        np.savetxt(Path(folder, "df.csv"), table, delimiter=",", header="C,N,D,loss", comments="", fmt="%.17g")
        told = {"loss_fn": loss} if huber else {}
        fitted = package.Chinchilla(project_dir=folder, param_grid=dict(NEAR), log_level=40, **told)
        fitted.fit(parallel=parallel)
    params = {name: float(getattr(fitted, name)) for name in NEAR}
    return params, additive(params)


def by_simple_scaling_laws(data: Columns) -> Fitted:
    """The package ``simple-scaling-laws``, by least squares of its own weights, with 200 draws of its bootstrap."""
    package, polars = importlib.import_module("simple_scaling_laws"), importlib.import_module("polars")
    sizes = {"model_size__N": data["N"], "dataset_size__D": data["D"]}
    runs = {"training_run_id": [str(i) for i in range(len(data["N"]))], "test_set_id": ["held out"] * len(data["N"])}
    table = polars.DataFrame({**runs, **sizes, "test_loss__L": data["L"]})
    model = package.fit(table, law="separable-power", n_draws=200, seed=0)

    def predict(n: np.ndarray, d: np.ndarray) -> np.ndarray:
        asked = model.predict(polars.DataFrame({"model_size__N": n, "dataset_size__D": d}))
        return np.asarray(asked["test_loss__L__median"].to_numpy())

    # Its A and B are those of sizes that it scales; the others are those of the law.
    return {key: value for key, value in model.params("test_loss__L").items() if key not in "AB"}, predict
