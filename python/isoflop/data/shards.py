"""Token shards of other programs, recognised by what they begin with, and mapped, not read.

| file | begins with | then |
|---|---|---|
| ``.bin`` of nanoGPT | the tokens | little-endian uint16 to the end |
| ``.bin`` of llm.c and modded-nanogpt | 256 int32: magic, version, how many tokens | uint16 or uint32 |
| ``.npy`` | numpy's header | one dimension of whole numbers |

A file is one stream. A folder holds shards for training and, if it has any, for validation: ``val``, ``valid`` or
``validation`` is a word of their names (``val.bin``, ``fineweb_val_000000.bin``), as ``train`` is of the others'. Where
no name has ``train``, every other shard is for training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import CorpusError

Integers = NDArray[Any]
"""Tokens of any integer type, as a shard holds them."""

_SUFFIXES = (".bin", ".npy")
_HELD_OUT = {"val", "valid", "validation"}


@dataclass(frozen=True)
class Header:
    """What llm.c writes before tokens (karpathy/llm.c, dev/data/data_common.py): 256 int32, of which three are used."""

    version: int
    type: str
    vocabulary: str


# No GPT-2 token is as high as the first half of a magic read as uint16 (55432, 55713): nanoGPT's shards are told apart.
_HEADERS = {20240520: Header(1, "<u2", "GPT-2"), 20240801: Header(7, "<u4", "Llama 3")}
_FOREIGN = {
    (20240522).to_bytes(4, "little"): "questions to evaluate on, as llm.c writes them",
    b"PK\x03\x04": "a zip archive, such as the weights that torch saves",
    b"GGUF": "the weights of a model",
}
_HEADER_BYTES = 256 * 4


def is_shard_source(source: str) -> bool:
    """Whether ``source`` names a ``.bin`` or ``.npy`` file, or a folder that holds some."""
    path = Path(source).expanduser()
    return path.suffix in _SUFFIXES or (path.is_dir() and bool(_shards(path)))


def read_shards(source: str) -> tuple[list[Integers], list[Integers]]:
    """The shards for training and those for validation, each mapped, in name order.

    Raises:
        CorpusError: a shard is missing, torn, of an unknown version or holds no tokens, or all are for validation.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return [_read(path)], []
    words = {shard: set(re.split(r"[^a-z]+", shard.stem.lower())) for shard in _shards(path)}
    held_out = [shard for shard, named in words.items() if named & _HELD_OUT]
    rest = [shard for shard in words if shard not in held_out]
    train = [shard for shard in rest if "train" in words[shard]] or rest
    if not train:
        raise CorpusError(f"folder {source!r} holds only held-out shards", hint="name the training shards train*.bin")
    return [_read(shard) for shard in train], [_read(shard) for shard in held_out]


def _shards(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)


def _read(shard: Path) -> Integers:
    if not shard.is_file():
        raise CorpusError(f"shard {str(shard)!r} does not exist")
    return _read_npy(shard) if shard.suffix == ".npy" else _read_bin(shard)


def _read_npy(shard: Path) -> Integers:
    try:
        tokens: Integers = np.load(shard, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise CorpusError(
            f"shard {str(shard)!r} cannot be read: {error}", hint="it is torn, or no .npy file"
        ) from error
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise CorpusError(
            f"shard {str(shard)!r} holds {tokens.dtype} of shape {tokens.shape}", hint="one dimension of whole numbers"
        )
    return tokens


def _read_bin(shard: Path) -> Integers:
    size = shard.stat().st_size
    with shard.open("rb") as file:
        start = file.read(12)
    if start[:4] in _FOREIGN:
        raise CorpusError(f"shard {str(shard)!r} holds {_FOREIGN[start[:4]]}, not a stream of tokens")
    magic, version, count = np.frombuffer(start.ljust(12, b"\0"), "<i4").tolist()
    header = _HEADERS.get(magic) if size >= _HEADER_BYTES else None
    if header is None:
        if size == 0 or size % 2:
            raise CorpusError(
                f"shard {str(shard)!r} has {size} bytes", hint="a shard is one or more whole uint16 tokens"
            )
        return np.memmap(shard, "<u2", "r")
    if version != header.version:
        raise CorpusError(
            f"shard {str(shard)!r} of {header.vocabulary} tokens has version {version}",
            hint=f"version {header.version} is read",
        )
    promised = _HEADER_BYTES + count * np.dtype(header.type).itemsize
    if count < 1 or size != promised:
        raise CorpusError(
            f"shard {str(shard)!r} is torn: its header promises {count:,} tokens, {promised:,} bytes; it has {size:,}",
            hint="fetch the file again",
        )
    return np.memmap(shard, header.type, "r", offset=_HEADER_BYTES, shape=(count,))
