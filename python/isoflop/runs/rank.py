"""Which process of a job this is: one of them records."""

from __future__ import annotations

import os
import sys


def rank_of_process() -> int:
    """0 of a process on its own; what ``torch.distributed`` says where it runs, else ``RANK`` of the environment."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdecimal() else 0
