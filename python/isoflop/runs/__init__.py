"""The run store: what was run, how it went, and every point of it, in files that survive a kill."""

from isoflop.runs.record import RunRecord, run_id
from isoflop.runs.recorder import Recorder
from isoflop.runs.scan import batch_scan, curves
from isoflop.runs.store import RunStore
from isoflop.runs.studies import read_studies

__all__ = ["Recorder", "RunRecord", "RunStore", "batch_scan", "curves", "read_studies", "run_id"]
