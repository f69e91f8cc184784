"""Decisions from laws: how large a model and how many tokens a compute budget should buy. numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoflop.exports import export

if TYPE_CHECKING:
    from isoflop.planning.axes import AXES, Axis, vary
    from isoflop.planning.bill import Bill, bill
    from isoflop.planning.compute import parse_compute
    from isoflop.planning.concrete import Concrete, Space, choose_shape
    from isoflop.planning.continuing import Continuing, continuing
    from isoflop.planning.contours import iso_flop, iso_loss, tolerance
    from isoflop.planning.curve import Bought, buys
    from isoflop.planning.downstream import Downstream, downstream
    from isoflop.planning.emergence import Emergence, emergence
    from isoflop.planning.fleet import Fleet
    from isoflop.planning.frontier import frontier
    from isoflop.planning.laid_out import LaidOut, lay_out
    from isoflop.planning.measured import measured_mfu
    from isoflop.planning.metrics import Answers, Choices, edit_distance, exact_match, score_answers, score_choices
    from isoflop.planning.overfitting import Overfitting, overfitting
    from isoflop.planning.pace import Pace, fastest, pace, within
    from isoflop.planning.plan import Plan, plan
    from isoflop.planning.rates import Rates, rates
    from isoflop.planning.repeats import Repeats, data_wall, repeat
    from isoflop.planning.reward import Stop, best_kl
    from isoflop.planning.serving import Price, Serving, implied_serving, overhead, serve
    from isoflop.planning.settled import Settled, settle
    from isoflop.planning.systems import Systems, compare_all, compare_systems, split_systems
    from isoflop.planning.thresholds import THRESHOLDS, Crossing, Threshold, crossings
    from isoflop.planning.transfer import Transfer, transfer
    from isoflop.planning.trunk import Trunk, trunk
    from isoflop.planning.vocabulary import Vocabulary, vocabulary

__all__ = [
    "AXES",
    "THRESHOLDS",
    "Answers",
    "Axis",
    "Bill",
    "Bought",
    "Choices",
    "Concrete",
    "Continuing",
    "Crossing",
    "Downstream",
    "Emergence",
    "Fleet",
    "LaidOut",
    "Overfitting",
    "Pace",
    "Plan",
    "Price",
    "Rates",
    "Repeats",
    "Serving",
    "Settled",
    "Space",
    "Stop",
    "Systems",
    "Threshold",
    "Transfer",
    "Trunk",
    "Vocabulary",
    "best_kl",
    "bill",
    "buys",
    "choose_shape",
    "compare_all",
    "compare_systems",
    "continuing",
    "crossings",
    "data_wall",
    "downstream",
    "edit_distance",
    "emergence",
    "exact_match",
    "fastest",
    "frontier",
    "implied_serving",
    "iso_flop",
    "iso_loss",
    "lay_out",
    "measured_mfu",
    "overfitting",
    "overhead",
    "pace",
    "parse_compute",
    "plan",
    "rates",
    "repeat",
    "score_answers",
    "score_choices",
    "serve",
    "settle",
    "split_systems",
    "tolerance",
    "transfer",
    "trunk",
    "vary",
    "vocabulary",
    "within",
]

export(
    __name__,
    {
        "axes": ("AXES", "Axis", "vary"),
        "bill": ("Bill", "bill"),
        "compute": ("parse_compute",),
        "concrete": ("Concrete", "Space", "choose_shape"),
        "continuing": ("Continuing", "continuing"),
        "contours": ("iso_flop", "iso_loss", "tolerance"),
        "curve": ("Bought", "buys"),
        "downstream": ("Downstream", "downstream"),
        "emergence": ("Emergence", "emergence"),
        "fleet": ("Fleet",),
        "frontier": ("frontier",),
        "laid_out": ("LaidOut", "lay_out"),
        "measured": ("measured_mfu",),
        "metrics": ("Answers", "Choices", "edit_distance", "exact_match", "score_answers", "score_choices"),
        "overfitting": ("Overfitting", "overfitting"),
        "pace": ("Pace", "fastest", "pace", "within"),
        "plan": ("Plan", "plan"),
        "rates": ("Rates", "rates"),
        "repeats": ("Repeats", "data_wall", "repeat"),
        "reward": ("Stop", "best_kl"),
        "serving": ("Price", "Serving", "implied_serving", "overhead", "serve"),
        "settled": ("Settled", "settle"),
        "systems": ("Systems", "compare_all", "compare_systems", "split_systems"),
        "thresholds": ("THRESHOLDS", "Crossing", "Threshold", "crossings"),
        "transfer": ("Transfer", "transfer"),
        "trunk": ("Trunk", "trunk"),
        "vocabulary": ("Vocabulary", "vocabulary"),
    },
)
