"""One thread of a process that shows of all that the process holds that it is alive."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

BEAT_SECONDS = 20.0
EXPIRES_SECONDS = 120.0
"""A lease whose holder has not beaten for so long is free, where nothing else tells that its holder has ended."""


class Heartbeat:
    """Calls every beat each :data:`BEAT_SECONDS`, from a thread that is there while there are beats."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # a child has neither the thread nor what is held

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._beats: set[Callable[[], None]] = set()
        self._thread: threading.Thread | None = None

    @property
    def beats(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def begin(self, beat: Callable[[], None]) -> None:
        """Call ``beat`` from now on; where it raises OSError the next one tries again."""
        with self._lock:
            self._beats.add(beat)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="heartbeat", daemon=True)
                self._thread.start()

    def end(self, beat: Callable[[], None]) -> None:
        """Call ``beat`` no more, nor is a call of it going on."""
        with self._lock:
            self._beats.discard(beat)

    def _go_on(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(BEAT_SECONDS)
            with self._lock:
                if not self._beats:
                    self._thread = None
                    return
                for beat in self._beats:
                    with contextlib.suppress(OSError):
                        beat()
