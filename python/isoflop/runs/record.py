"""What the store keeps of a run, and how a spec becomes a run id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from isoflop.errors import NewerFormat, SpecError, StoreError
from isoflop.runs.folder import RECORD, Folder

FORMAT = 1

Status = Literal["running", "finished", "diverged", "failed", "killed", "superseded"]

# The ends that a second try would not change, or that nobody wants to try again.
NConvention = Literal["non-embedding", "total"]
"""Which parameters N counts."""
ENDED: tuple[Status, ...] = ("finished", "diverged", "killed", "superseded")


class RunRecord(msgspec.Struct, kw_only=True, omit_defaults=False):
    """``run.json``: one run, what was asked, how it went and what came out.

    ``counts`` holds what the shape and spec cost: ``N`` (non-embedding parameters), ``n_params``, ``D`` (tokens), and
    training FLOPs by convention, ``C`` being 6 N D. ``result`` holds ``loss`` (held-out, nats/token), its ``loss_se``
    and ``tokens`` seen. ``status`` is ``running`` until the run ends; a run that is ``running`` with nobody holding
    its lease was interrupted. ``killed`` and ``superseded`` are said of a run from outside; ``error`` says why.
    """

    format: int = FORMAT
    id: str
    status: Status
    attempt: int
    started: str
    ended: str | None = None
    seconds: float | None = None
    spec: dict[str, Any]
    counts: dict[str, float]
    result: dict[str, float] | None = None
    error: str | None = None
    environment: dict[str, str] = {}


_ENCODER = msgspec.json.Encoder(enc_hook=float)  # numbers of numpy and torch


class _Format(msgspec.Struct):
    """The one field that every format of ``run.json`` has."""

    format: int


def run_id(spec: Mapping[str, Any]) -> str:
    """The identity of a run: the first 16 hex digits of SHA-256 over its spec as canonical JSON.

    Raises:
        SpecError: the spec holds something JSON has no word for (NaN and infinities among them).
    """
    return hashlib.sha256(canonical(spec)).hexdigest()[:16]


def canonical(spec: Mapping[str, Any]) -> bytes:
    """A spec as canonical JSON: equal specs have equal bytes.

    Raises:
        SpecError: the spec holds something JSON has no word for (NaN and infinities among them).
    """
    try:
        return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise SpecError(f"a run spec must be plain JSON values: {error}") from error


def in_total(counts: Mapping[str, float]) -> dict[str, float]:
    """Counts in which N is all parameters, and C of them."""
    rest = {name: count for name, count in counts.items() if name not in ("N", "C")}
    if "n_params" in counts:
        rest["N"] = counts["n_params"]
        if "D" in counts:
            rest["C"] = 6.0 * counts["n_params"] * counts["D"]
    return rest


def to_json(record: RunRecord) -> bytes:
    """The content of ``run.json``."""
    return msgspec.json.format(_ENCODER.encode(record), indent=1) + b"\n"


def read_record(folder: Folder) -> RunRecord | None:
    """The record in the ``run.json`` of a folder, or None where there is no such file.

    Raises:
        StoreError: the file is damaged, cannot be read, or was written by a newer format.
    """
    if (content := folder.read(RECORD)) is None:
        return None
    return decode_record(content, f"{folder.url}/{RECORD}", hint="move its folder away; the run will be made again")


def decode_record(content: bytes, where: str, *, hint: str | None = None) -> RunRecord:
    """The record in JSON that stood at ``where``; ``hint`` says what to do where it is damaged.

    Raises:
        StoreError: it is damaged, or was written by a newer format.
    """
    try:
        written = msgspec.json.decode(content, type=_Format).format
        if written > FORMAT:
            raise NewerFormat(where, written, FORMAT)
        return msgspec.json.decode(content, type=RunRecord)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StoreError(f"{where} is damaged: {error}", hint=hint) from error
