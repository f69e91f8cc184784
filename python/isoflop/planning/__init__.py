"""Decisions from laws: how large a model and how many tokens a compute budget should buy. numpy only."""

from __future__ import annotations

from isoflop.planning.compute import parse_compute
from isoflop.planning.frontier import frontier
from isoflop.planning.plan import Plan, plan

__all__ = ["Plan", "frontier", "parse_compute", "plan"]
