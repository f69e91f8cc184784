"""Decisions from laws: how large a model and how many tokens a compute budget should buy. numpy only."""

from __future__ import annotations

from isoflop.planning.axes import AXES, Axis, vary
from isoflop.planning.bill import Bill, bill
from isoflop.planning.compute import parse_compute
from isoflop.planning.concrete import Concrete, Space, choose_shape
from isoflop.planning.contours import iso_flop, iso_loss, tolerance
from isoflop.planning.frontier import frontier
from isoflop.planning.pace import Fleet, Pace, fastest, pace, within
from isoflop.planning.plan import Plan, plan
from isoflop.planning.repeats import Repeats, data_wall, repeat
from isoflop.planning.serving import Price, Serving, implied_serving, overhead, serve
from isoflop.planning.settled import Settled, settle
from isoflop.planning.thresholds import THRESHOLDS, Crossing, Threshold, crossings

__all__ = [
    "AXES",
    "THRESHOLDS",
    "Axis",
    "Bill",
    "Concrete",
    "Crossing",
    "Fleet",
    "Pace",
    "Plan",
    "Price",
    "Repeats",
    "Serving",
    "Settled",
    "Space",
    "Threshold",
    "bill",
    "choose_shape",
    "crossings",
    "data_wall",
    "fastest",
    "frontier",
    "implied_serving",
    "iso_flop",
    "iso_loss",
    "overhead",
    "pace",
    "parse_compute",
    "plan",
    "repeat",
    "serve",
    "settle",
    "tolerance",
    "vary",
    "within",
]
