"""Quantities of one law in terms of another's: what batch size costs, what a size off the optimum costs, what N counts.

All functions take floats or arrays that broadcast, and return the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PEARCE_SONG = 47491.0
"""Embedding parameters of Chinchilla's models over the cube root of the others (Pearce and Song 2024)."""


def s_min(steps: ArrayLike, batch: ArrayLike, b_crit: ArrayLike) -> Array:
    """Steps that a batch far above critical would have needed: S/(1 + B_crit(L)/B) (Kaplan 2020, eq 5.4)."""
    return _array(steps) / (1 + _array(b_crit) / _array(batch))


def c_min(compute: ArrayLike, batch: ArrayLike, b_crit: ArrayLike) -> Array:
    """Compute that a batch far below critical would have needed: C/(1 + B/B_crit(L)) (Kaplan 2020, eq 5.5)."""
    return _array(compute) / (1 + _array(batch) / _array(b_crit))


def e_min(tokens: ArrayLike, batch: ArrayLike, b_crit: ArrayLike) -> Array:
    """Tokens that a batch far below critical would have needed: E/(1 + B/B_crit(L)) (Kaplan 2020, eq 5.1, 5.2)."""
    return _array(tokens) / (1 + _array(batch) / _array(b_crit))


def steps_of(tokens: ArrayLike, s_min: ArrayLike, e_min: ArrayLike) -> Array:
    """Steps in which E tokens reach a loss: (S/S_min - 1)(E/E_min - 1) = 1 (McCandlish 2018; Kaplan 2020, eq 5.1)."""
    return _array(s_min) * (1 + 1 / (_array(tokens) / _array(e_min) - 1))


def learning_rate_at(batch: ArrayLike, largest: ArrayLike, noise_scale: ArrayLike) -> Array:
    """Best learning rate of SGD at a batch: eps_max/(1 + B_noise/B) (McCandlish 2018, section 2.2)."""
    return _array(largest) / (1 + _array(noise_scale) / _array(batch))


def alpha_c_min(alpha_n: float, alpha_s: float, alpha_b: float) -> float:
    """Exponent of L(C_min) that L(N, S_min) and B_crit(L) imply: 1/(1/aS + 1/aB + 1/aN) (Kaplan 2020, eq 6.4, B.7)."""
    return 1 / (1 / alpha_s + 1 / alpha_b + 1 / alpha_n)


def c_c_min(steps: Mapping[str, float], b_star: float) -> float:
    """Scale of L(C_min) in FLOPs that L(N, S_min), constants of the law kaplan-steps, implies (Kaplan 2020, eq B.8)."""
    n, s = steps["alpha_N"], steps["alpha_S"]
    return float(6 * steps["N_c"] * b_star * steps["S_c"] * (1 + n / s) ** (1 / s + 1 / n) * (s / n) ** (1 / s))


def n_at_c_min(compute: ArrayLike, steps: Mapping[str, float], b_star: float, alpha_b: float) -> Array:
    """Optimal N of C_min FLOPs (Kaplan 2020, eq B.9)."""
    n, s = steps["alpha_N"], steps["alpha_S"]
    share = _array(compute) / c_c_min(steps, b_star)
    return np.asarray(steps["N_c"] * share ** (alpha_c_min(n, s, alpha_b) / n) * (1 + n / s) ** (1 / n))


def s_at_c_min(compute: ArrayLike, steps: Mapping[str, float], b_star: float, alpha_b: float) -> Array:
    """Steps S_min at the optimal N of C_min FLOPs (Kaplan 2020, eq B.10)."""
    n, s = steps["alpha_N"], steps["alpha_S"]
    scale = c_c_min(steps, b_star)
    at_one = scale / (6 * steps["N_c"] * b_star) * (1 + n / s) ** (-1 / n)
    return np.asarray(at_one * (_array(compute) / scale) ** (alpha_c_min(n, s, alpha_b) / s))


def c_min_to_reach(
    loss: ArrayLike, n_params: ArrayLike, steps: Mapping[str, float], b_star: float, alpha_b: float
) -> Array:
    """C_min in FLOPs that N parameters need for a loss, infinite where they never reach it (Kaplan 2020, eq B.15)."""
    loss = _array(loss)
    left = loss - (steps["N_c"] / _array(n_params)) ** steps["alpha_N"]
    with np.errstate(divide="ignore"):
        needed = np.maximum(left, 0.0) ** (-1 / steps["alpha_S"])
    return np.asarray(6 * b_star * steps["S_c"] * _array(n_params) * loss ** (-1 / alpha_b) * needed)


def steps_off_optimum(ratio: ArrayLike, alpha_n: float, alpha_s: float) -> Array:
    """Steps over those of the optimal size, for N = ratio times it; infinite where N never gets there (eq B.17)."""
    bracket = 1 + alpha_s / alpha_n * (1 - _array(ratio) ** -alpha_n)
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(bracket, 0.0) ** (-1 / alpha_s))


def compute_off_optimum(ratio: ArrayLike, alpha_n: float, alpha_s: float) -> Array:
    """Compute over that of the optimal size, for N = ratio times it (Kaplan 2020, eq B.16)."""
    return np.asarray(_array(ratio) * steps_off_optimum(ratio, alpha_n, alpha_s))


def stopping_loss(converged: ArrayLike, alpha_n: float, alpha_s: float) -> Array:
    """Loss at which compute-efficient training stops: (1 + aN/aS) L(N, inf) (Kaplan 2020, eq B.5)."""
    return np.asarray((1 + alpha_n / alpha_s) * _array(converged))


def earliest_stop(loss: ArrayLike, converged: ArrayLike, s_c: float, alpha_s: float) -> Array:
    """Step before which overfitting does not set in: S_c/(L(N, D) - L(N, inf))**(1/aS) (Kaplan 2020, eq 5.7)."""
    return np.asarray(s_c / (_array(loss) - _array(converged)) ** (1 / alpha_s))


def n_total(nonembedding: ArrayLike, k: float = PEARCE_SONG) -> Array:
    """All parameters of non-embedding ones: N + k N**(1/3) (Pearce and Song 2024)."""
    n = _array(nonembedding)
    return np.asarray(n + k * np.cbrt(n))


def n_nonembedding(total: ArrayLike, k: float = PEARCE_SONG) -> Array:
    """The way back: the real root r of r**3 + k r = total, cubed, in hyperbolic form, exact at both ends."""
    scale = np.sqrt(k / 3)
    root = 2 * scale * np.sinh(np.arcsinh(_array(total) / (2 * scale**3)) / 3)
    return np.asarray(root**3)


def best_of_n_kl(n: ArrayLike) -> Array:
    """KL divergence in nats of the best of n samples from one sample: ln n - (n - 1)/n (Gao 2022)."""
    n = _array(n)
    return np.asarray(np.log(n) - (n - 1) / n)


def best_kl_of_n(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """KL divergence in nats at which gao-bon, d (alpha - beta d), is highest: past it the proxy is over-optimised."""
    return np.asarray((_array(alpha) / (2 * _array(beta))) ** 2)


def best_kl_of_rl(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """KL divergence in nats at which gao-rl, d (alpha - beta ln d), is highest."""
    return np.asarray(np.exp(2 * (_array(alpha) / _array(beta) - 1)))


def weight_decay(batch: ArrayLike, learning_rate: ArrayLike, tokens: ArrayLike, tau: ArrayLike) -> Array:
    """AdamW's weight decay that averages over a share tau of training: B/(tau lr D) (Bergsma 2025, Power Lines)."""
    return np.asarray(_array(batch) / (_array(tau) * _array(learning_rate) * _array(tokens)))


def _array(value: Any) -> Array:
    return np.asarray(value, dtype=np.float64)
