"""The pictures of a study, each a function of a store, a fit or what was found: it draws on ``ax`` and returns it.

``FIGURES`` is the table of all figures by name, with the data that each needs; ``draw_figures`` draws them.
"""

from __future__ import annotations

from isoflop.report.figures.architectures import lstm_by_position, lstm_by_size, universal_by_compute, universal_by_size
from isoflop.report.figures.batch import critical_sizes, trade_off
from isoflop.report.figures.ceilings import roofline
from isoflop.report.figures.chinchilla import (
    budgets,
    envelope_sizes,
    envelope_tokens,
    isoflop_slices,
    loss_contours,
    overlaid_predictions,
    profile_sizes,
    profile_tokens,
    training_envelope,
)
from isoflop.report.figures.curves import (
    curves_by_compute,
    curves_by_tokens,
    learning_curves,
    loss_curves,
    predicted_ends,
    size_at_fixed_compute,
    size_at_fixed_steps,
    steps_to_reach,
    tokens_to_reach,
)
from isoflop.report.figures.doubts import corner, parameter_intervals, profiles, residual_histogram, residuals_by_size
from isoflop.report.figures.drawing import FORMATS, Drawn, choose, draw_figure, draw_figures, save_figure
from isoflop.report.figures.emergence import exact_answers, wrong_tokens
from isoflop.report.figures.frontier import (
    best_size_by_compute,
    best_steps_by_compute,
    contradiction,
    excess_compute,
    excess_steps,
    loss_by_least_compute,
    split_of_compute,
)
from isoflop.report.figures.learning_rates import loss_by_schedule, schedules
from isoflop.report.figures.losses import (
    loss_against_d,
    loss_against_n,
    loss_by_compute,
    loss_by_size,
    loss_by_tokens,
    overfit_by_tokens,
    power_or_logarithm,
    with_embeddings,
    without_embeddings,
)
from isoflop.report.figures.optimum import allocation, compute_frontier, tokens_per_parameter
from isoflop.report.figures.overfit import earliest_stop, overfitting, train_and_test
from isoflop.report.figures.page_figures import draw
from isoflop.report.figures.panel import Panel
from isoflop.report.figures.positions import position_by_size, position_by_step, size_by_position
from isoflop.report.figures.repeats import repeat_contours
from isoflop.report.figures.roof import Kernel, Roof
from isoflop.report.figures.serving import serving_sizes, serving_tokens
from isoflop.report.figures.shapes import (
    aspect_ratio,
    feed_forward_ratio,
    head_dimension,
    shape_landscape,
    shape_penalties,
)
from isoflop.report.figures.study import Source, Study
from isoflop.report.figures.table import CHINCHILLA, FIGURES, KAPLAN, OTHERS, Entry
from isoflop.report.figures.transfer import transfer_by_depth, transfer_by_loss, transfer_by_size

__all__ = [
    "CHINCHILLA",
    "FIGURES",
    "FORMATS",
    "KAPLAN",
    "OTHERS",
    "Drawn",
    "Entry",
    "Kernel",
    "Panel",
    "Roof",
    "Source",
    "Study",
    "allocation",
    "aspect_ratio",
    "best_size_by_compute",
    "best_steps_by_compute",
    "budgets",
    "choose",
    "compute_frontier",
    "contradiction",
    "corner",
    "critical_sizes",
    "curves_by_compute",
    "curves_by_tokens",
    "draw",
    "draw_figure",
    "draw_figures",
    "earliest_stop",
    "envelope_sizes",
    "envelope_tokens",
    "exact_answers",
    "excess_compute",
    "excess_steps",
    "feed_forward_ratio",
    "head_dimension",
    "isoflop_slices",
    "learning_curves",
    "loss_against_d",
    "loss_against_n",
    "loss_by_compute",
    "loss_by_least_compute",
    "loss_by_schedule",
    "loss_by_size",
    "loss_by_tokens",
    "loss_contours",
    "loss_curves",
    "lstm_by_position",
    "lstm_by_size",
    "overfit_by_tokens",
    "overfitting",
    "overlaid_predictions",
    "parameter_intervals",
    "position_by_size",
    "position_by_step",
    "power_or_logarithm",
    "predicted_ends",
    "profile_sizes",
    "profile_tokens",
    "profiles",
    "repeat_contours",
    "residual_histogram",
    "residuals_by_size",
    "roofline",
    "save_figure",
    "schedules",
    "serving_sizes",
    "serving_tokens",
    "shape_landscape",
    "shape_penalties",
    "size_at_fixed_compute",
    "size_at_fixed_steps",
    "size_by_position",
    "split_of_compute",
    "steps_to_reach",
    "tokens_per_parameter",
    "tokens_to_reach",
    "trade_off",
    "train_and_test",
    "training_envelope",
    "transfer_by_depth",
    "transfer_by_loss",
    "transfer_by_size",
    "universal_by_compute",
    "universal_by_size",
    "with_embeddings",
    "without_embeddings",
    "wrong_tokens",
]
