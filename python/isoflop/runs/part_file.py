"""One Parquet file of a part, open for as long as somebody holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.runs.folder import Folder

if TYPE_CHECKING:
    import pyarrow as pa


class PartFile:
    """Reads columns of a file, whole or by rows; what is removed meanwhile is read to the end.

    Raises:
        StoreError: the file is missing or damaged, by every method.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        from pyarrow import parquet

        self.path = f"{folder.url}/{name}"
        self._folder, self._name = folder, name
        with self._explained():
            self._file = parquet.ParquetFile(folder.open(name))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except StoreError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise StoreError(
                f"{self.path} is damaged: {error}", hint="bring it back from a copy of the store"
            ) from error

    @property
    def local(self) -> str:
        """The path on this machine of the file, or of a copy of it."""
        return self._folder.local(self._name)

    @property
    def names(self) -> list[str]:
        """Of its columns."""
        return list(self._file.schema_arrow.names)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Of its row groups."""
        metadata = self._file.metadata
        return np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)], dtype=int)

    def read(self, columns: Sequence[str]) -> pa.Table:
        with self._explained():
            return self._file.read(columns=list(columns)).replace_schema_metadata(None)

    def group(self, number: int, columns: Sequence[str]) -> pa.Table:
        with self._explained():
            return self._file.read_row_group(number, columns=list(columns))

    def rows(self, columns: Sequence[str], first: int, last: int) -> pa.Table:
        """Rows first to last; no more row groups are read than they stand in."""
        begin, end = np.searchsorted(self.ends, [first, last - 1], side="right").tolist()
        groups = list(range(begin, end + 1)) if last > first else []
        before = int(self.ends[begin - 1]) if groups and begin else 0
        with self._explained():
            return self._file.read_row_groups(groups, columns=list(columns)).slice(first - before, last - first)

    def texts(self, column: str) -> Iterator[str]:
        """Of a column, a few rows in memory at a time."""
        with self._explained():
            for batch in self._file.iter_batches(1024, columns=[column]):
                yield from batch.column(0).to_pylist()


def to_floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers as float64, null as NaN."""
    values = np.empty(len(column))
    end = 0
    for chunk in column.chunks:
        begin, end = end, end + len(chunk)
        values[begin:end] = chunk.to_numpy(zero_copy_only=False)
    return values
