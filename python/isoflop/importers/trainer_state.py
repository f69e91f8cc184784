"""``trainer_state.json``, which the Trainer of transformers leaves in every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isoflop.errors import SourceError
from isoflop.importers.documents import decoded
from isoflop.importers.found import Found, flat, to_table

_LOG = "log_history"


def read(source: str) -> Iterator[Found]:
    """The entries of ``log_history``, those of one step together; all else of it are fields.

    The run is called as the folder of the trainer, the one around ``checkpoint-500``.
    """
    state = decoded(source)
    entries = state.pop(_LOG, None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "step" in entry for entry in entries):
        raise SourceError(f"{source} is no trainer_state.json: it has no {_LOG} of entries with a step")
    steps: dict[object, dict[str, object]] = {}
    for entry in entries:
        row = flat(entry)
        steps.setdefault(row.get("step"), {}).update(row)
    if None in steps:
        raise SourceError(f"{source} is no trainer_state.json: a step in its {_LOG} is no number")
    folder = Path(source).absolute().parent
    name = folder.parent.name if folder.name.startswith("checkpoint-") else folder.name
    yield Found(name, to_table(steps.values()), flat(state))
