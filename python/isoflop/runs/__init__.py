"""The run store: what was run, how it went, and every point of it, in files that survive a kill."""

from isoflop.runs.delivery import deliver
from isoflop.runs.exchange import export, import_archive, merge
from isoflop.runs.marking import mark
from isoflop.runs.record import RunRecord, run_id
from isoflop.runs.recorder import Recorder
from isoflop.runs.rubbish import gc
from isoflop.runs.scan import batch_scan, curves
from isoflop.runs.store import RunStore
from isoflop.runs.studies import read_studies
from isoflop.runs.verification import verify

__all__ = [
    "Recorder",
    "RunRecord",
    "RunStore",
    "batch_scan",
    "curves",
    "deliver",
    "export",
    "gc",
    "import_archive",
    "mark",
    "merge",
    "read_studies",
    "run_id",
    "verify",
]
