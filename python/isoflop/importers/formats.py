"""The files that are read: how each is known by its name, and what it calls its steps. Readers load on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isoflop.errors import SourceError, SpecError, nearest
from isoflop.importers.found import Found

Reader = Callable[[str], Iterator[Found]]


@dataclass(frozen=True)
class Format:
    """A kind of source.

    Attributes:
        reader: the function of ``isoflop.importers`` that reads it, ``module.function``.
        endings: of its files' names.
        columns: of its own that are mapped where the user maps none.
        inside: a name that a folder of it holds, as a pattern.
    """

    reader: str
    endings: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""

    def read(self, source: str) -> Iterator[Found]:
        """The runs at a path or URI.

        Raises:
            SourceError: it cannot be read.
            MissingExtra: what reads it is not installed.
        """
        module, _, function = self.reader.partition(".")
        read: Reader = getattr(importlib.import_module(f"isoflop.importers.{module}"), function)
        return read(source)


_STEP = {"step": "step"}

FORMATS: Mapping[str, Format] = {
    "trainer-state": Format("trainer_state.read", ("trainer_state.json",), _STEP),
    "wandb": Format("wandb_file.read", (".wandb",), {"step": "_step"}, inside="**/*.wandb"),
    "wandb-history": Format("tables.read_parquet", (), {"step": "_step"}),
    "tensorboard": Format("tensorboard_files.read", (), _STEP, inside="**/*tfevents*"),
    "mlflow": Format("mlflow_store.read", ("mlflow.db",), _STEP, inside="[0-9]*/meta.yaml"),
    "csv": Format("tables.read_csv", (".csv", ".csv.gz", ".csv.zst", ".csv.bz2", ".tsv", ".tsv.gz")),
    "parquet": Format("tables.read_parquet", (".parquet",)),
    "jsonl": Format("tables.read_jsonl", (".jsonl", ".ndjson", ".jsonl.gz")),
}
"""By the name that ``--format`` and ``format=`` take."""


def format_of(source: str, name: str | None) -> tuple[str, Format]:
    """The format called ``name``, or the one that a file's name or a folder's content shows.

    Raises:
        SpecError: no format has that name.
        SourceError: nothing shows which it is.
    """
    if name is not None:
        if name not in FORMATS:
            raise SpecError(f"unknown format {name!r}", hint=nearest(name, FORMATS))
        return name, FORMATS[name]
    path = Path(source)
    for known, kind in FORMATS.items():
        if path.name.endswith(kind.endings) or (known == "tensorboard" and "tfevents" in path.name):
            return known, kind
    if path.is_dir():
        for known, kind in FORMATS.items():
            if kind.inside and next(path.glob(kind.inside), None) is not None:
                return known, kind
    raise SourceError(
        f"cannot tell what {source} is", hint=f"format (--format) is one of {', '.join(FORMATS)}, if it is one"
    )
