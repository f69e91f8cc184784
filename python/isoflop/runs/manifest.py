"""Which files hold the compacted runs: one small file, renamed into place, that is the only way to them."""

from __future__ import annotations

import re

import msgspec

from isoflop.errors import NewerFormat, StoreError
from isoflop.runs.folder import Folder

NAME = "manifest.json"
FORMAT = 1
_FILE = re.compile(r"(runs|points)-[0-9]+-[0-9a-f]+\.parquet")


class File(msgspec.Struct, frozen=True):
    """A file of a part, as it was written; ``sha256`` in hex digits."""

    name: str
    bytes: int
    sha256: str


class PartFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A part: the records of its runs and their points; ``held`` is about how many bytes it takes in memory."""

    n_runs: int
    n_points: int
    held: int
    runs: File
    points: File


class Manifest(msgspec.Struct, frozen=True):
    """The parts of a store.

    ``number`` is how often it was published, ``replaced`` are files that stay for readers who began before.
    """

    format: int = FORMAT
    number: int = 0
    parts: list[PartFiles] = []
    replaced: list[str] = []

    @property
    def names(self) -> set[str]:
        """Of all files that it names, itself included."""
        return {NAME, *(file.name for part in self.parts for file in (part.runs, part.points))}


class _Format(msgspec.Struct):
    format: int


def is_file_of_store(name: str) -> bool:
    """Whether compacted files may be called so."""
    return name == NAME or _FILE.fullmatch(name) is not None


def read_manifest(folder: Folder) -> Manifest:
    """What is published; of a store that was never compacted, nothing.

    Raises:
        StoreError: it is damaged, lost, names a file that is not in the folder, or was written by a newer format.
    """
    content = folder.read(NAME)
    where = f"{folder.url}/{NAME}"
    if content is None:
        if any(_FILE.fullmatch(name) for name in folder.names()):
            raise StoreError(f"{where} is missing, and the runs with it", hint="bring it back from a copy of the store")
        return Manifest()
    try:
        written = msgspec.json.decode(content, type=_Format).format
        if written > FORMAT:
            raise NewerFormat(where, written, FORMAT)
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StoreError(f"{where} is damaged: {error}", hint="bring it back from a copy of the store") from error
    for name in manifest.names - {NAME}:
        if not _FILE.fullmatch(name):
            raise StoreError(f"{where} names {name!r}, which is no file of a store")
    return manifest


def publish(folder: Folder, before: Manifest, parts: list[PartFiles]) -> None:
    """From here on readers see ``parts``, in place of those ``before``.

    Raises:
        StoreError: the disk refuses.
    """
    manifest = Manifest(number=before.number + 1, parts=parts)
    replaced = sorted({*before.names, *before.replaced} & {*folder.names()} - manifest.names)
    _write(folder, msgspec.structs.replace(manifest, replaced=replaced))


def begin(folder: Folder) -> None:
    """A manifest without parts, where there is none: files without a manifest are a loss that is seen.

    Raises:
        StoreError: the disk refuses.
    """
    if folder.read(NAME) is None:
        _write(folder, Manifest())


def _write(folder: Folder, manifest: Manifest) -> None:
    folder.publish(NAME, manifest.number, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
