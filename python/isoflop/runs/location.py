"""Where a store is: a folder on a disk, or a URL of an object store with a folder of this machine beside it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from isoflop.runs.folder import Folder
from isoflop.runs.local import LocalFolder


def located(url: str | Path) -> tuple[Folder, Path]:
    """The folder of a store, and the one on this machine for what is not shared (of a local store, the same).

    Raises:
        MissingExtra: the driver for this kind of URL is not installed.
        StoreError: it cannot be used.
    """
    text = str(url)
    if "://" not in text or text.startswith("file://"):
        path = Path(text.removeprefix("file://")).expanduser()
        return LocalFolder(path), path
    from isoflop.runs.object_folder import ObjectFolder
    from isoflop.runs.objects import Objects

    text = text.rstrip("/")
    beside = user_cache() / "stores" / name_of(text)
    objects = Objects(text)
    return ObjectFolder(objects, objects.root, text, beside / "cache" / "parts"), beside


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/isoflop``, as a rule ``~/.cache/isoflop``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "isoflop"


def name_of(url: str) -> str:
    """A name for what is kept here of the store at ``url``: 16 hex digits."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
