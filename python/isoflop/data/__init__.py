"""Corpora: text or token shards in, training and held-out token streams out, with nested subsets for D."""

from isoflop.data.corpus import Corpus, Stream, load_corpus, open_corpus
from isoflop.data.subset import nested_subset, windows

__all__ = ["Corpus", "Stream", "load_corpus", "nested_subset", "open_corpus", "windows"]
