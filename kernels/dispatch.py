"""Which implementation of an op ran last: nothing is chosen where it cannot be seen."""

from __future__ import annotations

from threading import Lock

from isoflop.errors import KernelError, nearest

IMPLEMENTATIONS = ("triton", "native", "sdpa", "library", "reference")

_lock = Lock()
_last: dict[str, str] = {}


def record(op: str, implementation: str) -> None:
    """Note that ``implementation``, one of ``IMPLEMENTATIONS``, runs ``op``.

    The note is the process's, not a thread's: autograd runs backward passes in threads of its own.
    """
    if implementation not in IMPLEMENTATIONS:
        known = nearest(implementation, IMPLEMENTATIONS)
        raise KernelError(f"there is no implementation {implementation!r}", hint=known)
    with _lock:
        _last[op] = implementation


def last_dispatch() -> dict[str, str]:
    """By op, what ran it last in this process: one of ``IMPLEMENTATIONS``.

    "native" is C++ on the CPU, "sdpa" torch's own attention, "library" its products of matrices, "reference" the
    definition.
    """
    with _lock:
        return dict(_last)
