"""What a training step writes into: made by the first call of each launcher, filled again by every later one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Room:
    """The results of launchers, and the room they work in, by the place in a step where they are called.

    A replayed CUDA graph finds its tensors where they were: no place ever gets others.
    """

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, place: str) -> Any:
        return self._made[place]

    def fill(
        self, place: str, launcher: Callable[..., Any], *given: Any,
        shared: str | None = None, own: tuple[str, ...] = (), **settings: Any,
    ) -> Any:  # fmt: skip
        """``launcher(*given, **settings)`` into the tensors of ``place``.

        Places with one name ``shared`` have their tensors in common, but for the fields ``own`` of the result.
        """
        out = self._made.get(place)
        if out is None and shared in self._made:
            first = self._made[shared]
            fields = {name: getattr(first, name) for name in own}
            out = first._replace(**{name: None if t is None else torch.empty_like(t) for name, t in fields.items()})
        made = self._made[place] = launcher(*given, out=out, **settings)
        if shared is not None:
            self._made.setdefault(shared, made)
        return made
