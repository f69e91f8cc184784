"""From a source to a corpus: documents, those that are kept, a tokenizer, two token streams, a fingerprint.

One document in ten is held out, chosen by a hash of its content, so that the split depends on neither order, machine
nor seed; of a single document, of shards without a part for validation and of synthetic sources the last tenth is.
Equal fingerprints are equal tokens, made in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.data.cache import Corpus, Prepared, fingerprint_of, open_corpus, publish, workshop, write_stream
from isoflop.data.documents import read_documents
from isoflop.data.recipe import Preparation, Recipe
from isoflop.data.rows import read_rows
from isoflop.data.shards import Integers, is_shard_source, read_shards
from isoflop.data.sift import Keep, name_of, sift
from isoflop.data.split import HELD_OUT_SHARE, split
from isoflop.data.stream import Stream, token_type
from isoflop.data.synthetic import is_synthetic, synthetic
from isoflop.data.texts import Texts, refuse_undecodable, write_texts
from isoflop.data.tokenizer import key_of, make_tokenizer
from isoflop.errors import CorpusError, SpecError


def load_corpus(
    source: str | Recipe, cache: Path | None = None, *, keep: Keep | None = None, rows: Iterable[Any] | None = None
) -> Corpus:
    """Make a corpus, or open it where it was made before.

    Args:
        source: a recipe, or the source of a plain one: ``"stdlib"``, a file or a folder of text, JSON lines, Parquet or
            token shards, ``"hf:NAME"``, ``"synthetic:NAME"``.
        cache: a folder in which prepared corpora are kept and shared, memory-mapped, between processes; without one the
            tokens are in files that go with the process.
        keep: a filter of your own: a document is kept where it returns true. Recorded by its name.
        rows: the documents themselves, as texts or as mappings with the recipe's ``column`` (a dataset, a generator);
            the source is then no more than their name.

    Raises:
        CorpusError: nothing there, nothing readable, an empty corpus, nothing left to train on or to hold out, a torn
            or foreign shard, text that does not decode, a row without its column, a token beyond the vocabulary.
        SpecError: a tokenizer, filter or option that there is not.
        MissingExtra: a library that the recipe needs is not installed.
    """
    recipe = Recipe(source=source) if isinstance(source, str) else source
    with workshop(recipe.source, cache) as folder:
        if rows is None and (is_synthetic(recipe.source) or is_shard_source(recipe.source)):
            corpus = _of_tokens(recipe, keep, folder, copied=cache is not None)
        else:
            documents = read_documents(recipe.source, recipe.column) if rows is None else read_rows(rows, recipe.column)
            texts = write_texts(documents, recipe.source, folder.parent)
            made = {**recipe.settings(), **({} if keep is None else {"keep": name_of(keep)})}
            known = _known(texts, recipe, made, cache) if keep is None else None
            if known is not None and (found := known.corpus()) is not None:
                return replace(found, source=recipe.source)
            corpus = _of_texts(texts, recipe, made, keep, folder)
            if known is not None:
                known.remember(corpus.fingerprint)
        if cache is None:
            return corpus
        publish(corpus, folder, cache)
    # Another source with the same text may have put it there.
    return replace(open_corpus(cache, corpus.fingerprint), source=corpus.source, n_vocab=corpus.n_vocab)


def _known(texts: Texts, recipe: Recipe, made: dict[str, Any], cache: Path | None) -> Prepared | None:
    """Where it is written which corpus this leads to; plain bytes are made again faster than looked up."""
    if cache is None or not made:
        return None
    return Prepared(cache, texts.fingerprint, {**made, "tokenizer": key_of(recipe.tokenizer)})


def _of_texts(texts: Texts, recipe: Recipe, made: dict[str, Any], keep: Keep | None, folder: Path) -> Corpus:
    """The corpus of these documents, its files in ``folder``."""
    kept, removed = sift(texts, recipe, keep, folder / "removed.jsonl")
    if not removed:
        (folder / "removed.jsonl").unlink()
    if not len(kept):
        why = ", ".join(f"{why} {sums.documents:,}" for why, sums in removed.items() if why != "empty")
        hint = f"of {len(texts):,} documents, removed: {why}" if why else "it holds no byte of text"
        raise CorpusError(f"corpus {recipe.source!r} is empty", hint=hint)
    if recipe.tokenizer != "byte":
        refuse_undecodable(texts, texts.spans(kept))
    train, held_out = split(texts, kept)
    sizes = [int((part[:, 2] - part[:, 1]).sum()) for part in (train, held_out)]
    if not all(sizes):
        raise CorpusError(
            f"corpus {recipe.source!r}, {len(kept)} documents of {sum(sizes)} bytes, "
            "is too little to train on and to hold out",
            hint="give more text, in documents that differ",
        )
    tokenizer = make_tokenizer(
        recipe.tokenizer,
        recipe.n_vocab,
        training=lambda: texts.pieces(train),
        whole=lambda: texts.pieces(texts.spans(kept)),
    )
    kind = token_type(tokenizer.n_vocab)
    streams = [
        write_stream(tokenizer.encode(texts.pieces(part)), folder, name, kind)
        for name, part in (("train", train), ("held_out", held_out))
    ]
    preparation = Preparation(
        settings=made,
        documents=len(texts),
        bytes=int(texts.contents.offsets[-1]),
        removed=removed,
        train_bytes=sizes[0],
        held_out_bytes=sizes[1],
    )
    # The same tokens, made otherwise, are another corpus, so that the runs on it can be told apart.
    way = {**made, "tokenizer": hashlib.sha256(tokenizer.to_json().encode()).hexdigest()} if made else {}
    fingerprint = fingerprint_of(streams, json.dumps(way, sort_keys=True) if way else "")
    return Corpus(recipe.source, fingerprint, tokenizer.n_vocab, streams[0], streams[1], tokenizer, preparation)


def _of_tokens(recipe: Recipe, keep: Keep | None, folder: Path, *, copied: bool) -> Corpus:
    """The corpus of a source that holds tokens; those of a single shard stay where they are, unless ``copied``."""
    meant_for_text = [name for name in recipe.settings() if name != "n_vocab"] + ["keep"] * (keep is not None)
    if meant_for_text:
        raise SpecError(
            f"{', '.join(meant_for_text)}: for text, while corpus {recipe.source!r} holds tokens", hint="leave it out"
        )
    train: list[Integers]
    held_out: list[Integers]
    entropy_rate = None
    if is_synthetic(recipe.source):
        made = synthetic(recipe.source)
        entropy_rate = made.entropy_rate
        train, held_out, n_vocab = [made.sample()], [], made.n_vocab
    else:
        train, held_out = read_shards(recipe.source)
        n_vocab = _vocabulary(recipe.source, [*train, *held_out])
    if recipe.n_vocab and n_vocab > recipe.n_vocab:
        raise CorpusError(
            f"corpus {recipe.source!r} has tokens up to {n_vocab - 1}, beyond its n_vocab = {recipe.n_vocab}",
            hint=f"n_vocab = {n_vocab} or more, if these are the tokens you mean",
        )
    n_vocab = recipe.n_vocab or n_vocab
    if not held_out:
        train, held_out = _cut(train)
    if not sum(map(len, train)) or not sum(map(len, held_out)):
        raise CorpusError(
            f"corpus {recipe.source!r} is empty", hint="it needs tokens to train on and tokens to hold out"
        )
    streams = [
        _joined(parts, folder, name, n_vocab, copied) for name, parts in (("train", train), ("held_out", held_out))
    ]
    preparation = Preparation(settings=recipe.settings(), entropy_rate=entropy_rate)
    return Corpus(recipe.source, fingerprint_of(streams, ""), n_vocab, streams[0], streams[1], preparation=preparation)


def _vocabulary(source: str, shards: list[Integers]) -> int:
    """One more than the largest token."""
    least, largest = (
        min((int(s.min()) for s in shards if len(s)), default=0),
        max((int(s.max()) for s in shards if len(s)), default=-1),
    )
    if least < 0 or largest >= 2**32:
        raise CorpusError(f"corpus {source!r} has tokens from {least} to {largest}", hint="0 to 2**32 - 1 are tokens")
    return largest + 1


def _cut(shards: list[Integers]) -> tuple[list[Integers], list[Integers]]:
    """Hold out the last tenth of all shards behind each other."""
    left = int(sum(map(len, shards)) * (1 - HELD_OUT_SHARE))
    train: list[Integers] = []
    held_out: list[Integers] = []
    for shard in shards:
        train.append(shard[:left])
        held_out.append(shard[left:])
        left = max(0, left - len(shard))
    return [part for part in train if len(part)], [part for part in held_out if len(part)]


def _joined(parts: list[Integers], folder: Path, name: str, n_vocab: int, copied: bool) -> Stream:
    kind = token_type(n_vocab)
    if not copied and len(parts) == 1 and parts[0].dtype == kind:
        return Stream(parts[0], np.array([0, len(parts[0])], np.int64))
    return write_stream(((part, part is parts[-1]) for part in parts), folder, name, kind)
