"""How a corpus is made: what is asked (``Recipe``) and what was done (``Preparation``), both recorded with it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from isoflop.data.documents import STDLIB
from isoflop.data.quality import bounds_of
from isoflop.errors import SpecError

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Bounds = dict[str, tuple[float, float]]

MISSED = 0.01
"""Largest share of pairs just at the threshold of near duplicates that may go unseen."""


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """What counts as a near duplicate: sets of shingles, of so many words, with this Jaccard similarity or more."""

    threshold: Share = 0.8
    shingle: Count = 5
    n_hashes: Count = 128
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1 or self.shingle < 1 or self.n_hashes < 1 or self.seed < 0:
            raise SpecError(f"{self} cannot be", hint="threshold in (0, 1], shingle and n_hashes 1, seed 0, or more")
        if (missed := (1 - self.threshold) ** self.n_hashes) > MISSED:
            least = math.ceil(math.log(MISSED) / math.log(1 - self.threshold))
            raise SpecError(
                f"n_hashes = {self.n_hashes} miss {missed:.0%} of the pairs at threshold = {self.threshold}",
                hint=f"n_hashes = {least}, or more",
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a corpus is made of; in a study file ``corpus = { source = ..., tokenizer = "bpe" }``.

    Attributes:
        source: ``stdlib``, a path to text, JSON lines, Parquet or token shards, ``hf:...``, ``synthetic:...``.
        column: the field or column that holds the text of a row.
        tokenizer: ``byte``, ``char``, ``bpe`` (trained on the training text) or a ``tokenizer.json``.
        n_vocab: size of a vocabulary to train; of shards, the vocabulary they promise to stay within; 0 where neither.
        deduplicate: ``exact`` keeps one of equal documents, ``near`` (or a table of its settings) one of similar ones.
        quality: a preset's name or the bounds of measures; see :mod:`isoflop.data.quality`.
    """

    source: str = STDLIB
    column: str = "text"
    tokenizer: str = "byte"
    n_vocab: Annotated[int, msgspec.Meta(ge=0)] = 0
    deduplicate: Literal["none", "exact", "near"] | NearDuplicates = "none"
    quality: str | Bounds = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.source:
            raise SpecError("source names no corpus", hint=f"{STDLIB}, a path, hf:NAME or synthetic:NAME")
        bounds_of(self.quality)
        if self.deduplicate not in ("none", "exact", "near") and not isinstance(self.deduplicate, NearDuplicates):
            raise SpecError(f"deduplicate = {self.deduplicate!r}", hint="none, exact, near or a table")

    @property
    def near(self) -> NearDuplicates | None:
        """The settings of near-duplicate removal, or None where it is not asked for."""
        if isinstance(self.deduplicate, NearDuplicates):
            return self.deduplicate
        return NearDuplicates() if self.deduplicate == "near" else None

    def settings(self) -> dict[str, Any]:
        """What differs from text taken as it is, byte by byte; resolved, as plain JSON values."""
        values = asdict(self)
        if self.near is not None:
            values["deduplicate"] = asdict(self.near)
        values["quality"] = {name: list(bounds) for name, bounds in bounds_of(self.quality).items()}
        plain = asdict(Recipe())
        return {
            name: value for name, value in values.items() if name not in ("source", "column") and value != plain[name]
        }


class Removed(msgspec.Struct, frozen=True):
    """Documents removed for one reason, and their bytes."""

    documents: int = 0
    bytes: int = 0


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to make a corpus.

    Attributes:
        settings: the recipe, where it differs from text taken as it is.
        documents, bytes: read from the source.
        removed: reason to what it removed: ``empty``, ``quality: words``, ``exact duplicate``, ``near duplicate``,
            ``keep: NAME``; each document is a line of ``removed.jsonl`` beside the corpus.
        train_bytes, held_out_bytes: of text kept; tokens apart from ends of documents stand for them.
        entropy_rate: nats/token of a synthetic source.
    """

    settings: dict[str, Any] = {}
    documents: int = 0
    bytes: int = 0
    removed: dict[str, Removed] = {}
    train_bytes: int = 0
    held_out_bytes: int = 0
    entropy_rate: float | None = None
