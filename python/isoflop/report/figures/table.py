"""Every figure: its name, what it shows, the data it needs, and the functions that draw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isoflop.report.figures import (
    architectures,
    batch,
    ceilings,
    chinchilla,
    curves,
    doubts,
    emergence,
    frontier,
    learning_rates,
    losses,
    optimum,
    overfit,
    positions,
    repeats,
    serving,
    shapes,
    transfer,
)
from isoflop.report.figures.panel import Panel


@dataclass(frozen=True)
class Entry:
    """One figure.

    Attributes:
        name: ``"1"`` to ``"24"`` are those of Kaplan et al. 2020, ``"chinchilla-1"`` to ``"chinchilla-4"`` those of
            Hoffmann et al. 2022, the others have names of their own.
        title: what it shows.
        needs: which data, in words.
        panels: what is drawn side by side.
    """

    name: str
    title: str
    needs: str
    panels: tuple[Panel[Any], ...]


def _entry(name: str, title: str, needs: str, *panels: Panel[Any]) -> Entry:
    return Entry(name, title, needs, panels)


KAPLAN = (
    _entry(
        "1", "loss against C, D and N with power laws", "N x D grid",
        losses.loss_by_compute, losses.loss_by_tokens, losses.loss_by_size,
    ),
    _entry(
        "2", "held-out loss along training by tokens and by compute", "held-out curves of several N",
        curves.curves_by_tokens, curves.curves_by_compute,
    ),
    _entry(
        "3", "what a billion times the compute goes into", 'groups of purpose "batch" and "steps"',
        frontier.split_of_compute,
    ),
    _entry(
        "4", "L(N, D) and L(N, S)", 'N x D grid; groups of purpose "batch" and "steps"',
        losses.overfit_by_tokens, curves.learning_curves,
    ),
    _entry(
        "5", "loss of shapes of one N", 'a group of purpose "shape"; each ratio varied alone',
        shapes.feed_forward_ratio, shapes.aspect_ratio, shapes.head_dimension,
    ),
    _entry(
        "6", "loss against N with and without embeddings", "sizes of several depths at the same D",
        losses.with_embeddings, losses.without_embeddings,
    ),
    _entry(
        "7", "LSTMs and Transformers", 'shapes with architecture = "lstm"; measurements = ["position"]',
        architectures.lstm_by_size, architectures.lstm_by_position,
    ),
    _entry(
        "8", "transfer to other corpora", "transfer: other corpora evaluated during training",
        transfer.transfer_by_size, transfer.transfer_by_loss,
    ),
    _entry(
        "9", "overfitting by N^(alpha_N/alpha_D)/D", "N x D grid",
        losses.overfit_by_tokens, overfit.overfitting,
    ),
    _entry(
        "10", "critical batch size by loss", 'a group of purpose "batch"; measurements = ["noise"] adds noise scales',
        batch.critical_sizes,
    ),
    _entry(
        "11", "loss against N at fixed C and at fixed S", 'groups of purpose "batch" and "steps"',
        curves.size_at_fixed_compute, curves.size_at_fixed_steps,
    ),
    _entry(
        "12", "excess compute and steps off the best size", 'groups of purpose "batch" and "steps"',
        frontier.excess_compute, frontier.excess_steps,
    ),
    _entry(
        "13", "loss against C_min and against C", 'a group of purpose "batch"; held-out curves of five N or more',
        frontier.loss_by_least_compute,
    ),
    _entry(
        "14", "best N and S by C_min", 'a group of purpose "batch"; held-out curves of five N or more',
        frontier.best_size_by_compute, frontier.best_steps_by_compute,
    ),
    _entry(
        "15", "where L(C_min) and L(D) contradict each other", 'groups of purpose "batch" and "steps"; N x D grid',
        frontier.contradiction,
    ),
    _entry(
        "16", "early stopping, training and held-out loss on few tokens",
        'N x D grid; runs that overfit few unique tokens; groups of purpose "batch" and "steps"',
        overfit.earliest_stop, overfit.train_and_test,
    ),
    _entry(
        "17", "Transformers with weights shared over depth", 'shapes with architecture = "universal"',
        architectures.universal_by_size, architectures.universal_by_compute,
    ),
    _entry("18", "steps against tokens to a loss", 'a group of purpose "batch"', batch.trade_off),
    _entry(
        "19", "least steps and tokens to a loss by N", 'a group of purpose "batch"; held-out curves of several N',
        curves.steps_to_reach, curves.tokens_to_reach,
    ),
    _entry(
        "20", "loss by place in the context, by N and by step", 'measurements = ["position"]',
        positions.position_by_size, positions.position_by_step,
    ),
    _entry(
        "21", "loss against N at places in the context",
        'measurements = ["position"] of several N; a short n_ctx is dashed', positions.size_by_position,
    ),
    _entry(
        "22", "schedules of the learning rate and what they lead to", "one shape and D with several schedules",
        learning_rates.schedules, learning_rates.loss_by_schedule,
    ),
    _entry("23", "power law or logarithm of N", "four or more N at the same D", losses.power_or_logarithm),
    _entry(
        "24", "transfer by depth at one N", "transfer, measured in models of one N and several depths",
        transfer.transfer_by_depth,
    ),
)  # fmt: skip
"""The figures of Kaplan et al. 2020 (arXiv 2001.08361), by their numbers."""

CHINCHILLA = (
    _entry(
        "chinchilla-1", "optimal size by every approach", "what two of chinchilla-2, -3 and -4 need",
        chinchilla.overlaid_predictions,
    ),
    _entry(
        "chinchilla-2", "envelope of training curves", "held-out curves of five N or more",
        chinchilla.training_envelope, chinchilla.envelope_sizes, chinchilla.envelope_tokens,
    ),
    _entry(
        "chinchilla-3", "isoFLOP profiles", 'groups of purpose "isoflop", three budgets or more',
        chinchilla.budgets, chinchilla.profile_sizes, chinchilla.profile_tokens,
    ),
    _entry(
        "chinchilla-4", "parametric fit: contours and slices", "N x D grid",
        chinchilla.loss_contours, chinchilla.isoflop_slices,
    ),
)  # fmt: skip
"""The figures of Hoffmann et al. 2022 (arXiv 2203.15556), by their numbers."""

OTHERS = (
    _entry(
        "frontier", "loss, N and D of a budget", "N x D grid", optimum.compute_frontier, optimum.allocation,
    ),
    _entry("ratio", "tokens a parameter at the optimum", "N x D grid", optimum.tokens_per_parameter),
    _entry("residuals", "residuals of the joint law", "N x D grid",
           doubts.residual_histogram, doubts.residuals_by_size),
    _entry("intervals", "intervals of its parameters, published values beside", "N x D grid",
           doubts.parameter_intervals),
    _entry("profiles", "profile likelihood of its parameters", "N x D grid", doubts.profiles),
    _entry("corner", "resamples of its parameters", "N x D grid", doubts.corner),
    _entry(
        "curves", "training curves, and their ends foretold", "runs with a learning rate that falls, logged often",
        curves.loss_curves, curves.predicted_ends,
    ),
    _entry("landscape", "loss over depth and width at one N", 'a group of purpose "shape"', shapes.shape_landscape),
    _entry("repeats", "loss over epochs and N", "runs that repeat their tokens, unique_tokens below tokens",
           repeats.repeat_contours),
    _entry("serving", "N and D of models that are served", "N x D grid", serving.serving_sizes,
           serving.serving_tokens),
    _entry("emergence", "a metric that jumps and one that does not", "runs of growing compute; exact_match adds dots",
           emergence.exact_answers, emergence.wrong_tokens),
    _entry("roofline", "kernels under a device's ceilings", "no runs: --device NAME, or --bench FILE of isoflop bench",
           ceilings.roofline),
)  # fmt: skip
"""Uncertainty as Besiroglu et al. 2024 (arXiv 2404.10102) look at it, and what follows from a fit."""

FIGURES = {entry.name: entry for entry in (*KAPLAN, *CHINCHILLA, *OTHERS)}
"""By name, in the order in which they are drawn."""
