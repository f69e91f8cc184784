"""An object store through fsspec, as the few operations that every one of them has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isoflop.errors import MissingExtra, StoreError, require

_OPTIONS = {"use_listings_cache": False}
"""Other processes write here: what was listed before is not what is there."""


class Objects:
    """The objects whose keys begin with that of a URL; paths are fsspec's.

    Raises:
        MissingExtra: fsspec, or its driver for this kind of URL, is not installed.
        StoreError: the object store refuses, by every method.
    """

    def __init__(self, url: str) -> None:
        core = require("fsspec.core", extra="remote")
        try:
            with reached("open", url):
                self.root: str
                self._driver: Any
                self._driver, self.root = core.url_to_fs(url, **_OPTIONS)
        except StoreError as error:
            if isinstance(error.__cause__, ImportError):
                raise MissingExtra(f"no driver for {url}: {error.__cause__}", hint=_DRIVER) from error
            raise
        self.root = self.root.rstrip("/")

    def put(self, path: str, content: bytes) -> None:
        """Readers see the old object or the new one."""
        with reached("write", path):
            self._driver.pipe_file(path, content)

    def create(self, path: str, content: bytes) -> bool:
        """Whether the object was not there and now is, with this content, which no other process writes."""
        with reached("write", path):
            try:
                self._driver.pipe_file(path, content, mode="create")
            except OSError:
                # the answer to a first try may have been lost, and the driver have tried once more
                found = self.get(path)
                if found is None:
                    raise
                return found == content
        return True

    def get(self, path: str) -> bytes | None:
        with reached("read", path):
            try:
                return bytes(self._driver.cat_file(path))
            except FileNotFoundError:
                return None

    def head(self, path: str, n_bytes: int) -> bytes:
        """The first bytes of an object."""
        with reached("read", path):
            return bytes(self._driver.cat_file(path, start=0, end=n_bytes))

    def sizes(self, path: str) -> dict[str, int]:
        """Bytes by the last part of the key, of what is directly in a folder; 0 of a folder."""
        return {entry["name"].rpartition("/")[2]: int(entry.get("size") or 0) for entry in self._listed(path)}

    def folders(self, path: str) -> list[str]:
        """Names of the folders directly in a folder."""
        return [entry["name"].rpartition("/")[2] for entry in self._listed(path) if entry["type"] == "directory"]

    def all_below(self, path: str) -> list[str]:
        """Paths of all objects in a folder and its folders."""
        with reached("list", path):
            self._driver.invalidate_cache()
            return [str(found) for found in self._driver.find(path)]

    def remove(self, path: str) -> None:
        with reached("remove", path):
            try:
                self._driver.rm_file(path)
            except FileNotFoundError:
                return

    def copy(self, path: str, to: str) -> None:
        with reached("write", to):
            self._driver.cp_file(path, to)

    def upload(self, file: str, path: str) -> None:
        with reached("write", path):
            self._driver.put_file(file, path)

    def download(self, path: str, file: str) -> None:
        with reached("read", path):
            self._driver.get_file(path, file)

    def age(self, path: str, now: float | None = None) -> float:
        """Seconds since an object was written, by the clock of the object store, or until ``now`` of :meth:`clock`.

        Without ``now`` this machine's clock tells the end of them.
        """
        with reached("read", path):
            try:
                written = float(self._driver.modified(path).timestamp())
            except FileNotFoundError:
                return float("inf")
        return (time.time() if now is None else now) - written

    def clock(self, path: str) -> float:
        """The time by the clock of the object store, for which it writes an object at ``path``."""
        self.put(path, b"?")
        with reached("read", path):
            now = float(self._driver.modified(path).timestamp())
        self.remove(path)
        return now

    def _listed(self, path: str) -> list[dict[str, Any]]:
        with reached("list", path):
            self._driver.invalidate_cache()
            try:
                entries = self._driver.ls(path, detail=True)
            except FileNotFoundError:
                return []
        return [entry | {"name": name} for entry in entries if (name := entry["name"].rstrip("/")) != path]


_DRIVER = "pip install 'isoflop[remote]' for s3://, gcsfs for gs://, adlfs for az://"


@contextmanager
def reached(action: str, where: str) -> Iterator[None]:
    """Turn whatever a driver raises into a :class:`StoreError` that says what was tried."""
    try:
        yield
    except (StoreError, MissingExtra):
        raise
    except Exception as error:  # each driver, and the network under it, has errors of its own
        raise StoreError(
            f"cannot {action} {where}: {str(error) or type(error).__name__}",
            hint="the object store must be there and known to this user (for s3, AWS_ENDPOINT_URL and the keys)",
        ) from error
