"""``store.json``: what makes a folder a run store."""

from __future__ import annotations

import json

from isoflop.errors import NewerFormat, StoreError
from isoflop.runs.folder import Folder
from isoflop.runs.record import FORMAT

NAME = "store.json"
_KIND = "isoflop run store"


def make_store(folder: Folder) -> None:
    """Make an empty or a new folder a run store.

    Raises:
        StoreError: other things are in it, or the disk refuses.
    """
    if any(not _of_a_new_store(name) for name in folder.names()):
        raise StoreError(f"{folder.url} is a folder with other things in it", hint="give a new or an empty folder")
    folder.found(NAME, json.dumps({"kind": _KIND, "format": FORMAT}).encode() + b"\n")


def check_store(folder: Folder) -> None:
    """Refuse what is no run store, or one of a newer format.

    Raises:
        StoreError: it is.
    """
    marker = f"{folder.url}/{NAME}"
    if (content := folder.read(NAME)) is None:
        raise StoreError(f"there is no run store at {folder.url}", hint="isoflop sweep STUDY.toml makes one")
    try:
        meta = json.loads(content)
        kind, written = meta["kind"], int(meta["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{marker} is not a run store's marker") from error
    if kind != _KIND:
        raise StoreError(f"{folder.url} holds a {kind!r}, not a {_KIND!r}")
    if written > FORMAT:
        raise NewerFormat(folder.url, written, FORMAT)


def _of_a_new_store(name: str) -> bool:
    """Whether a process that is making this store now, or was killed at it, leaves a file of this name."""
    return name in ("runs", NAME) or name.startswith(".store.json.")
