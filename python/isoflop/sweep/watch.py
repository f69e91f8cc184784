"""What a store's runs are doing: their state, loss, speed and time left, from one look at it after another.

Nothing is asked of whoever makes the runs: all of it is in the store, whichever machines they are made on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from isoflop.runs import RunRecord, RunStore, read_studies
from isoflop.runs.record import ENDED
from isoflop.runs.together import together


@dataclass(frozen=True)
class Doing:
    """One run that has begun and not ended.

    Attributes:
        id, state: ``running``, ``interrupted`` or ``failed``.
        n: non-embedding parameters; None where it was recorded without.
        tokens, planned: those seen, and D.
        loss, held_out: the last of each that was logged, nats/token.
        rate: tokens a second; None where it is not known yet, or nothing goes on.
        flops: training FLOP/s, all matrix products.
        utilisation: of the peak, where one was given.
        left: seconds to its end, at this rate.
        flops_left: training FLOPs to its end, all matrix products.
    """

    id: str
    state: str
    n: float | None
    tokens: float
    planned: float | None
    loss: float | None
    held_out: float | None
    rate: float | None
    flops: float | None
    utilisation: float | None
    left: float | None
    flops_left: float


@dataclass(frozen=True)
class Look:
    """A store at one moment.

    Attributes:
        states: how many runs are in which; ``asked`` are those that a study asks for and nobody has begun.
        doing: runs that have begun and not ended, the longest to go first.
        rate: FLOP/s of them together.
        left: seconds until all begun runs have ended, at this rate; None where it is not known, or more are asked for.
    """

    states: Mapping[str, int]
    doing: tuple[Doing, ...]
    rate: float | None
    left: float | None


class Watch:
    """Looks at a store again and again; each look reads what may have changed since the one before.

    Args:
        store: the store.
        peak: FLOP/s of what one run has to itself, for its utilisation.
    """

    def __init__(self, store: RunStore, peak: float | None = None) -> None:
        self._store, self._peak = store, peak
        self._ended: dict[str, str] = {}
        self._loose: set[str] | None = None
        self._seen: dict[str, tuple[float, float]] = {}

    def look(self) -> Look:
        """The store now. Raises StoreError where it cannot be read."""
        doing: list[Doing] = []
        loose = set(self._store.loose())
        if self._loose is None or not self._loose <= loose:  # a compaction took some, and maybe some never seen
            self._ended |= self._store.compacted.states()
        self._loose = loose
        for found in together(self._of, loose - self._ended.keys()):
            if isinstance(found, RunRecord):
                self._ended[found.id] = found.status
            elif found is not None:
                doing.append(found)
        begun = {each.id for each in doing}
        asked = {run for study in read_studies(self._store).values() for group in study.groups for run in group.runs}
        waiting = asked - self._ended.keys() - begun
        states = Counter(self._ended.values()) + Counter(each.state for each in doing)
        if waiting:
            states["asked"] = len(waiting)
        rates = [each.flops for each in doing if each.flops is not None]
        rate = sum(rates) or None
        left = sum(each.flops_left for each in doing) / rate if rate and not waiting else None
        doing.sort(key=lambda each: (each.state != "running", -(each.left or 0.0)))
        return Look(states, tuple(doing), rate, left)

    def _of(self, run: str) -> Doing | RunRecord | None:
        """What a run is doing, or the record of one that has ended; None where a folder is none yet."""
        record = self._store.get(run)
        if record is None or record.status in ENDED:
            return record
        points = self._store.points_of(record.id)
        state = self._store.state(record)
        tokens = _last(points, "tokens") or 0.0
        planned = record.counts.get("D")
        rate = self._rate(record, tokens) if state == "running" else None
        per_token = record.counts["C_exact_causal"] / planned if planned and "C_exact_causal" in record.counts else None
        flops = None if rate is None or per_token is None else rate * per_token
        return Doing(
            id=record.id,
            state=state,
            n=record.counts.get("N"),
            tokens=tokens,
            planned=planned,
            loss=_last(points, "loss"),
            held_out=_last(points, "val_loss"),
            rate=rate,
            flops=flops,
            utilisation=None if flops is None or self._peak is None else flops / self._peak,
            left=None if not rate or planned is None else (planned - tokens) / rate,
            flops_left=record.counts.get("C_exact_causal", 0.0) * (1 - tokens / planned) if planned else 0.0,
        )

    def _rate(self, record: RunRecord, tokens: float) -> float | None:
        """Tokens a second: since its beginning, or since the look that first saw a later attempt of it."""
        now = time.time()
        begun = datetime.fromisoformat(record.started).replace(tzinfo=UTC).timestamp()
        first = (begun, 0.0) if record.attempt == 1 and "extends" not in record.environment else (now, tokens)
        since, had = self._seen.setdefault(record.id, first)
        return (tokens - had) / (now - since) if tokens > had and now > since else None


def _last(points: Mapping[str, Any], name: str) -> float | None:
    """The last number of a column that is one."""
    values = np.asarray(points.get(name, ()), float)
    values = values[~np.isnan(values)]
    return float(values[-1]) if values.size else None
