"""The command line: verbs that parse, call the library and print."""

from isoflop.cli import answers, benchmarks, costs, designs, fits, laws, runs, studies
from isoflop.cli.app import app, main

__all__ = ["answers", "app", "benchmarks", "costs", "designs", "fits", "laws", "main", "runs", "studies"]
