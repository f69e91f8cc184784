"""The compacted runs of a store, as they were last published."""

from __future__ import annotations

from itertools import chain

from isoflop.errors import StoreError
from isoflop.runs.folder import Folder
from isoflop.runs.manifest import Manifest, read_manifest
from isoflop.runs.part import Part


class Compacted:
    """Opens parts as the manifest names them; each stays open for as long as it does.

    Raises:
        StoreError: the manifest or a part is damaged, missing, or of a newer format, by every method.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._manifest = Manifest()
        self._parts: list[Part] = []

    def parts(self) -> list[Part]:
        """Of the manifest as it is now."""
        manifest = read_manifest(self.folder)
        while manifest.number != self._manifest.number:
            known = {part.files.runs.name: part for part in self._parts}
            try:
                self._parts = [known.get(files.runs.name) or Part(self.folder, files) for files in manifest.parts]
                self._manifest = manifest
            except StoreError:
                # a part may have been replaced, and its files removed, since the manifest was read
                earlier, manifest = manifest, read_manifest(self.folder)
                if manifest.number == earlier.number:
                    raise
        return self._parts

    def find(self, run: str) -> tuple[Part, int] | None:
        """The part that holds a run, and where in it."""
        found = ((part, part.index(run)) for part in self.parts())
        return next(((part, index) for part, index in found if index is not None), None)

    def states(self) -> dict[str, str]:
        """Of all runs, by their ids."""
        pairs = (zip(part.ids.tolist(), part.states, strict=True) for part in self.parts())
        return {run.decode(): state for run, state in chain.from_iterable(pairs)}

    def ids(self) -> list[str]:
        """Of all runs, sorted."""
        return sorted(run.decode() for part in self.parts() for run in part.ids.tolist())
