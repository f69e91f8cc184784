"""Decisions from laws: how large a model and how many tokens a compute budget should buy. numpy only."""

from __future__ import annotations

from isoflop.planning.bill import Bill, bill
from isoflop.planning.compute import parse_compute
from isoflop.planning.continuing import Continuing, continuing
from isoflop.planning.downstream import Downstream, downstream
from isoflop.planning.emergence import Emergence, emergence
from isoflop.planning.frontier import frontier
from isoflop.planning.metrics import Answers, Choices, edit_distance, exact_match, score_answers, score_choices
from isoflop.planning.overfitting import Overfitting, overfitting
from isoflop.planning.plan import Plan, plan
from isoflop.planning.rates import Rates, rates
from isoflop.planning.repeats import Repeats, data_wall, repeat
from isoflop.planning.serving import Price, Serving, implied_serving, overhead, serve
from isoflop.planning.systems import Systems, compare_all, compare_systems, split_systems
from isoflop.planning.thresholds import THRESHOLDS, Crossing, Threshold, crossings
from isoflop.planning.trunk import Trunk, trunk

__all__ = [
    "THRESHOLDS",
    "Answers",
    "Bill",
    "Choices",
    "Continuing",
    "Crossing",
    "Downstream",
    "Emergence",
    "Overfitting",
    "Plan",
    "Price",
    "Rates",
    "Repeats",
    "Serving",
    "Systems",
    "Threshold",
    "Trunk",
    "bill",
    "compare_all",
    "compare_systems",
    "continuing",
    "crossings",
    "data_wall",
    "downstream",
    "edit_distance",
    "emergence",
    "exact_match",
    "frontier",
    "implied_serving",
    "overfitting",
    "overhead",
    "parse_compute",
    "plan",
    "rates",
    "repeat",
    "score_answers",
    "score_choices",
    "serve",
    "split_systems",
    "trunk",
]
