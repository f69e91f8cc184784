"""Token shards as nanoGPT writes them: ``.bin`` files of little-endian uint16 without a header.

A file is one stream. A folder holds ``train*.bin`` and, if it has any, ``val*.bin``; without those names every shard
is for training.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import CorpusError

_TOKEN_BYTES = 2


def is_shard_source(source: str) -> bool:
    """Whether ``source`` names a ``.bin`` file or a folder that holds some."""
    path = Path(source).expanduser()
    return path.suffix == ".bin" or (path.is_dir() and any(path.glob("*.bin")))


def read_shards(source: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """The training tokens and, where the source names them apart, the held-out tokens.

    Raises:
        CorpusError: a shard is missing or does not hold whole uint16 tokens.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return _read(path), None
    shards = sorted(path.glob("*.bin"))
    held_out = [shard for shard in shards if shard.name.startswith("val")]
    train = [shard for shard in shards if shard.name.startswith("train")] or [s for s in shards if s not in held_out]
    if not train:
        raise CorpusError(f"folder {source!r} holds only held-out shards", hint="name the training shards train*.bin")
    return _join(train), _join(held_out) if held_out else None


def _join(shards: list[Path]) -> NDArray[np.uint16]:
    return _read(shards[0]) if len(shards) == 1 else np.concatenate([_read(shard) for shard in shards])


def _read(shard: Path) -> NDArray[np.uint16]:
    if not shard.is_file():
        raise CorpusError(f"shard {str(shard)!r} does not exist")
    size = shard.stat().st_size
    if size == 0 or size % _TOKEN_BYTES:
        raise CorpusError(f"shard {str(shard)!r} has {size} bytes", hint="a shard is one or more whole uint16 tokens")
    return np.memmap(shard, dtype="<u2", mode="r")
