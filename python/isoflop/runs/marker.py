"""``store.json``: what makes a folder a run store."""

from __future__ import annotations

import json
from pathlib import Path

from isoflop.errors import NewerFormat, StoreError
from isoflop.runs.files import explained, replace_file
from isoflop.runs.record import FORMAT

NAME = "store.json"
_KIND = "isoflop run store"


def make_store(folder: Path) -> None:
    """Make an empty or a new folder a run store.

    Raises:
        StoreError: other things are in it, or the disk refuses.
    """
    if folder.is_dir() and any(not _of_a_new_store(item.name) for item in folder.iterdir()):
        raise StoreError(f"{folder} is a folder with other things in it", hint="give a new or an empty folder")
    with explained("make a run store at", folder):
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        replace_file(folder / NAME, json.dumps({"kind": _KIND, "format": FORMAT}).encode() + b"\n")


def check_store(folder: Path) -> None:
    """Refuse what is no run store, or one of a newer format.

    Raises:
        StoreError: it is.
    """
    marker = folder / NAME
    with explained("read", marker):
        content = marker.read_bytes()
    try:
        meta = json.loads(content)
        kind, written = meta["kind"], int(meta["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{marker} is not a run store's marker") from error
    if kind != _KIND:
        raise StoreError(f"{folder} holds a {kind!r}, not a {_KIND!r}")
    if written > FORMAT:
        raise NewerFormat(folder, written, FORMAT)


def _of_a_new_store(name: str) -> bool:
    """Whether a process that is making this store now, or was killed at it, leaves a file of this name."""
    return name == "runs" or name.startswith(".store.json.")
