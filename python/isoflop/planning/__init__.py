"""Decisions from laws: how large a model and how many tokens a compute budget should buy. numpy only."""

from __future__ import annotations

from isoflop.planning.compute import parse_compute
from isoflop.planning.frontier import frontier
from isoflop.planning.plan import Plan, plan
from isoflop.planning.serving import Price, Serving, implied_serving, overhead, serve

__all__ = ["Plan", "Price", "Serving", "frontier", "implied_serving", "overhead", "parse_compute", "plan", "serve"]
