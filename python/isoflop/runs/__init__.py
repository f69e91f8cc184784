"""The run store: what was run, how it went, and every point of it, in files that survive a kill."""

from isoflop.runs.record import RunRecord, run_id
from isoflop.runs.recorder import Recorder
from isoflop.runs.scan import batch_scan
from isoflop.runs.store import RunStore

__all__ = ["Recorder", "RunRecord", "RunStore", "batch_scan", "run_id"]
