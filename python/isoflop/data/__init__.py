"""Corpora: text, rows, token shards or synthetic sources in; training and held-out token streams out; subsets for D."""

from isoflop.data.cache import Corpus, copy_corpora, open_corpus
from isoflop.data.corpus import load_corpus
from isoflop.data.recipe import NearDuplicates, Preparation, Recipe
from isoflop.data.stream import Stream, Tokens
from isoflop.data.subset import epochs, nested_subset, unique_tokens, windows
from isoflop.data.synthetic import synthetic, window_loss

__all__ = [
    "Corpus",
    "NearDuplicates",
    "Preparation",
    "Recipe",
    "Stream",
    "Tokens",
    "copy_corpora",
    "epochs",
    "load_corpus",
    "nested_subset",
    "open_corpus",
    "synthetic",
    "unique_tokens",
    "window_loss",
    "windows",
]
