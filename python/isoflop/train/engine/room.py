"""What a training step writes into: made by the first call of each launcher, filled again by every later one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch


class Room:
    """The results of launchers, and the room they work in, by the place in a step where they are called.

    A replayed CUDA graph finds its tensors where they were: no place ever gets others, where they are ``held``. Places
    of one name ``shared`` then have their tensors in common, but for the fields that ``own`` gives for that name, a dot
    before those of a result in a result. Where nothing is held every call makes its tensors anew.
    """

    def __init__(self, own: Mapping[str, tuple[str, ...]] | None = None, *, held: bool = False) -> None:
        self._made: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._own, self._held = own or {}, held

    def __getitem__(self, place: str) -> Any:
        return self._made[place]

    def fill(
        self, place: str, launcher: Callable[..., Any], *given: Any, shared: str | None = None, **settings: Any
    ) -> Any:
        """``launcher(*given, **settings)`` into the tensors of ``place``."""
        if self._held:
            out = self._made.get(place)
            if out is None and shared in self._shared:
                out = _with_own(self._shared[shared], self._own.get(shared or "", ()))
            settings["out"] = out
        made = self._made[place] = launcher(*given, **settings)
        if self._held and shared is not None:
            self._shared.setdefault(shared, made)
        return made

    @property
    def bytes(self) -> int:
        """Of all tensors made so far."""
        storages = {each.data_ptr(): each.nbytes() for made in self._made.values() for each in _storages(made)}
        return sum(storages.values())


def _storages(made: Any) -> Iterator[torch.UntypedStorage]:
    if isinstance(made, torch.Tensor):
        yield made.untyped_storage()
    elif isinstance(made, tuple):
        for each in made:
            yield from _storages(each)


def _with_own(first: Any, fields: tuple[str, ...]) -> Any:
    """``first`` with new tensors of the same form in ``fields``."""
    own: dict[str, Any] = {}
    for field in fields:
        name, _, rest = field.partition(".")
        if rest:
            part = own.get(name, getattr(first, name))
            own[name] = None if part is None else _with_own(part, (rest,))
        else:
            tensor = getattr(first, name)
            own[name] = None if tensor is None else torch.empty_like(tensor)
    return first._replace(**own)
