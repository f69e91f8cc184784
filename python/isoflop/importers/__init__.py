"""Runs that other programs recorded, into a run store: by a map of their columns, with what their numbers mean said."""

from isoflop.importers.formats import FORMATS, Format
from isoflop.importers.load import import_runs
from isoflop.importers.units import LOSS_UNITS, N_CONVENTIONS

__all__ = ["FORMATS", "LOSS_UNITS", "N_CONVENTIONS", "Format", "import_runs"]
