"""What a loss per token comes to under the metrics of tasks (Schaeffer 2023, arXiv 2304.15004, section 2).

A token is right with probability exp(-L). An answer of k tokens is right if all of them are, which falls as exp(-k L);
the tokens that are wrong grow as k (1 - exp(-L)). Tokens are taken for independent given the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import PlanError

Array = NDArray[np.float64]

SOURCE = "Schaeffer 2023 (arXiv 2304.15004), section 2"


def exact_match(loss: ArrayLike, k: ArrayLike = 1) -> Array:
    """Share of answers of ``k`` tokens that are right in every token, exp(-k L), at ``loss`` nats per token.

    Raises:
        PlanError: a loss that is negative or not finite, or an answer of less than one token.
    """
    return np.asarray(np.exp(-_tokens(k) * _losses(loss)))


def edit_distance(loss: ArrayLike, k: ArrayLike = 1) -> Array:
    """Tokens out of ``k`` that are expected to be wrong, k (1 - exp(-L)). Raises as :func:`exact_match`."""
    return np.asarray(-_tokens(k) * np.expm1(-_losses(loss)))


@dataclass(frozen=True)
class Answers:
    """Expected scores of answers whose tokens have losses of their own.

    Attributes:
        loss: mean over all tokens, nats.
        exact_match: share of answers that are right in every token.
        token_accuracy: share of tokens that are right.
        edit_distance: tokens that are wrong, an answer.
        at_mean_loss: what exp(-k L) of the mean loss would say of exact match, with k the mean length: below the truth
            where answers differ, since easy ones are right long before the mean one is.
    """

    loss: float
    exact_match: float
    token_accuracy: float
    edit_distance: float
    at_mean_loss: float
    source: str = SOURCE


def score_answers(losses: ArrayLike) -> Answers:
    """Expected scores of answers.

    Args:
        losses: of each token of each answer, nats, shape (answers, k); NaN where an answer has ended.

    Raises:
        PlanError: losses of another shape, negative ones, or an answer without tokens.
    """
    rows = np.asarray(losses, dtype=np.float64)
    there = ~np.isnan(rows)
    if rows.ndim != 2 or not rows.size or not there.any(axis=1).all():
        raise PlanError(f"losses of shape {rows.shape}: one row an answer, each with a token", hint="NaN past its end")
    _losses(rows[there])
    totals, lengths = np.where(there, rows, 0.0).sum(axis=1), there.sum(axis=1)
    right = np.exp(-rows[there])
    mean = float(rows[there].mean())
    return Answers(
        mean,
        float(np.exp(-totals).mean()),
        float(right.mean()),
        float((1 - right).sum() / len(rows)),
        float(np.exp(-mean * lengths.mean())),
    )


@dataclass(frozen=True)
class Choices:
    """Scores of multiple choice.

    Attributes:
        accuracy: share of questions whose right answer has the least loss: jumps where the order changes.
        probability: mean probability of the right answer among the choices: moves smoothly with the losses.
        brier: mean squared error of these probabilities over the choices.
        chance: accuracy of a guess.
    """

    accuracy: float
    probability: float
    brier: float
    chance: float
    source: str = SOURCE


def score_choices(losses: ArrayLike, correct: ArrayLike) -> Choices:
    """Scores of multiple choice from what a model gives each answer.

    Args:
        losses: -ln probability of every choice as a whole, nats, shape (questions, choices); times their length where
            losses are per token.
        correct: index of the right choice, shape (questions,).

    Raises:
        PlanError: shapes that do not match, negative losses, or an index that is no choice.
    """
    rows, right = _losses(losses), np.asarray(correct)
    if rows.ndim != 2 or rows.shape[1] < 2 or right.shape != rows.shape[:1] or right.dtype.kind not in "iu":
        raise PlanError(f"losses {rows.shape} and right answers {right.shape}: (questions, choices) and (questions,)")
    if right.size == 0 or right.min() < 0 or right.max() >= rows.shape[1]:
        raise PlanError(f"right answers lie between 0 and {rows.shape[1] - 1}")
    weights = np.exp(rows.min(axis=1, keepdims=True) - rows)
    shares = weights / weights.sum(axis=1, keepdims=True)
    wanted = np.eye(rows.shape[1])[right]
    return Choices(
        float((rows.argmin(axis=1) == right).mean()),
        float((shares * wanted).sum(axis=1).mean()),
        float(((shares - wanted) ** 2).sum(axis=1).mean()),
        1 / rows.shape[1],
    )


def _losses(loss: ArrayLike) -> Array:
    values = np.asarray(loss, dtype=np.float64)
    bad = values[~(np.isfinite(values) & (values >= 0))]
    if bad.size:
        raise PlanError(f"a loss of {bad.flat[0]:g} nats per token: zero or more is needed")
    return values


def _tokens(k: ArrayLike) -> Array:
    values = np.asarray(k, dtype=np.float64)
    bad = values[~(np.isfinite(values) & (values >= 1))]
    if bad.size:
        raise PlanError(f"an answer of {bad.flat[0]:g} tokens: one or more is needed")
    return values
