"""The command line: verbs that parse, call the library and print."""

from isoflop.cli import advice, answers, benchmarks, costs, designs, fits, laws, reports, runs, studies, systems
from isoflop.cli.app import app, main

__all__ = [
    "advice",
    "answers",
    "app",
    "benchmarks",
    "costs",
    "designs",
    "fits",
    "laws",
    "main",
    "reports",
    "runs",
    "studies",
    "systems",
]
