"""Constants and a plausible design for every law that ships, so that each can be fitted to what it says itself."""

from __future__ import annotations

import itertools

import numpy as np

from isoflop.laws import PRESETS, Law, Preset

Array = np.ndarray

TRUTHS: dict[str, dict[str, float]] = {
    "power-n": {"A": 14.0, "alpha": 0.08},
    "power-d": {"B": 20.0, "beta": 0.09},
    "power-c": {"K": 25.0, "gamma": 0.05},
    "power-n-floor": {"E": 1.7, "A": 400.0, "alpha": 0.34},
    "power-d-floor": {"E": 1.7, "B": 410.0, "beta": 0.28},
    "power-c-floor": {"E": 1.7, "K": 1500.0, "gamma": 0.15},
    "bnsl-1": {"a": 1.5, "b": 40.0, "c_0": 0.2, "c_1": 0.3, "d_1": 1e8, "f_1": 0.4},
    "bnsl-2": {"a": 0.5, "b": 40.0, "c_0": 0.2, "c_1": 0.4, "d_1": 1e7, "f_1": 0.3, "c_2": -0.35, "d_2": 1e9,
               "f_2": 0.3},
    "bnsl-3": {"a": 0.2, "b": 40.0, "c_0": 0.1, "c_1": 0.4, "d_1": 1e6, "f_1": 0.2, "c_2": -0.4, "d_2": 1e8,
               "f_2": 0.2, "c_3": 0.3, "d_3": 1e10, "f_3": 0.2},
    "kaplan-position": {"E": 2.0, "A": 5.0, "alpha": 0.5},
    "rosenfeld": {"e_0": 0.9, "eta": 1.5, "a": 1500.0, "b": 200.0, "c": 0.1, "alpha": 0.7, "beta": 0.5},
    "skaling": {"E": 1.5, "A": 60.0, "R": 3.0, "alpha": 0.5, "beta": 0.6, "k": 0.6},
    "farseer": {"a_1": -0.01, "b_1": -1.0, "alpha": 0.2, "a_2": -0.1, "b_2": 8.0, "beta": 0.15, "a_3": -0.05,
                "b_3": 1.5, "gamma": 0.12},
    "volkova": {"E": 1.7, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.37, "rho_N": 1.3, "rho_D": 1.2},
    "two-systems": {"E": 1.7, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.37, "rho_N": 1.1, "rho_D": 1.4},
    "two-systems-c": {"E": 1.7, "K": 1500.0, "gamma": 0.15, "rho_C": 1.3},
    "schaipp": {"E": 1.7, "A": 400.0, "B": 60.0, "C": 20.0, "alpha": 0.34, "beta": 0.4, "gamma": 0.4},
    "lovelace": {"E": 1.8, "A": 480.0, "B": 1500.0, "alpha": 0.35, "beta": 0.36, "P": 0.05, "delta": 0.9,
                 "kappa": 0.4},
    "sigmoid": {"low": 0.25, "high": 0.9, "k": 4.0, "L_mid": 1.8},
    "schaeffer": {"N_c": 1e8, "alpha": 0.3},
    "hernandez-loss": {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13, "k": 1.9e4, "a": 0.18,
                       "b": 0.38},
    "goyal": {"a": 12.0, "b": 0.2, "tau": 6.0, "d": 0.1},
    "busbridge": {"c_0": 1.2, "c_1": 0.8, "d_1": 1.3, "f_1": 0.2, "A": 900.0, "B": 3000.0, "alpha": 0.35,
                  "beta": 0.37, "gamma": 0.8},
    "frantar": {"a_S": 16.8, "b_S": 0.722, "c_S": 45.0, "b_N": 0.245, "a_D": 6.9e8, "b_D": 0.203, "c": 0.651},
    "gao-bon": {"alpha": 0.6, "beta": 0.05},
    "gao-rl": {"alpha": 0.8, "beta": 0.2},
    "monkeys": {"a": 2.0, "b": 0.4},
    "scalerl": {"R_0": 0.2, "A": 0.61, "C_m": 3000.0, "B": 1.8},
    "tissue": {"L_0": 2.6, "A": 0.5, "alpha": 0.5, "C": 400.0},
}  # fmt: skip
"""Of laws without published constants."""

NOT_TOLD_APART: dict[str, set[str]] = {
    "kaplan-overfit": {"N_c", "D_c"},
    "hernandez-loss": {"D_c", "k"},
    "volkova": {"A", "B", "rho_N", "rho_D"},
    "rosenfeld": {"e_0", "eta", "a", "b", "c"},
}
"""Products or ratios of these are all that the law shows: runs of one more kind would fix them."""

RANGES: dict[str, tuple[float, float]] = {
    "N": (1e7, 1e10), "D": (1e9, 1e12), "C": (1e17, 1e23), "C_min": (1e-6, 1e1), "S_min": (1e3, 1e6),
    "S": (0.0, 0.9), "L": (1.2, 3.2), "T": (1.0, 4096.0), "M": (5.0, 640.0), "K": (1e3, 1e5), "n": (1.0, 20.0),
    "k": (1.0, 1e4), "d": (0.5, 6.0), "E": (1.0, 512.0), "G": (1.0, 32.0), "P": (2.0, 8.0), "P_w": (3.0, 12.0),
    "P_a": (3.0, 12.0), "P_kv": (3.0, 12.0), "N_nv": (3e7, 1e9), "N_v": (1e6, 1e8), "H": (1e9, 1e11),
    "D_F": (1e5, 1e9), "L_T": (1.8, 3.0), "x": (1e4, 1e12), "S1": (0.1, 10.0), "S2": (1e-5, 1e-3), "U": (1e8, 1e10),
    "other": (0.0, 1.0),
}  # fmt: skip
"""Of inputs, the same in most laws."""

OWN: dict[tuple[str, str], tuple[float, float]] = {
    ("schaipp", "M"): (1e5, 1e7),
    ("goyal", "n"): (1e6, 1e9),
    ("goyal", "k"): (0.0, 20.0),
    ("zhai", "C"): (0.03, 1e4),
    ("scalerl", "C"): (30.0, 1e5),
    ("kaplan-c", "C"): (1e-6, 10.0),
    ("n-opt", "C"): (1e-6, 10.0),
}

EVEN = {"S", "S2", "L", "L_T", "P", "P_w", "P_a", "P_kv", "d", "other"}
"""Inputs that a design spaces evenly, not by their logarithm."""


def truth(law: Law) -> dict[str, float]:
    """The first published set of the law, else one that could be."""
    if law.name in TRUTHS:
        return TRUTHS[law.name]
    published = [p for p in PRESETS.values() if isinstance(p, Preset) and p.law == law.name]
    assert published, f"{law.name} has no published set; TRUTHS needs constants that could be its"
    return dict(published[0].values)


def design(law: Law) -> dict[str, Array]:
    """Inputs on a grid: sixty values of one, fewer of each where there are more."""
    count = {1: 60, 2: 8, 3: 5, 4: 4}.get(len(law.inputs), 3)
    axes = []
    for name in law.inputs:
        low, high = OWN.get((law.name, name), RANGES[name])
        spaced = np.linspace if name in EVEN or low <= 0 else np.geomspace
        axes.append(spaced(low, high, count))
    grid = np.array(list(itertools.product(*axes))).T
    return dict(zip(law.inputs, np.ascontiguousarray(grid), strict=True))
