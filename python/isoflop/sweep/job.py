"""What a worker is given and what it says: a stack of runs, how they are made, and how each ended.

A job is a stack of runs that are trained together, often of one: ``{"store": PATH, "specs": [{...}, ...],
"threads": 1, "how": {...}}``; threads are those of engines whose results do not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import msgspec

from isoflop.data import Corpus
from isoflop.runs import RunStore
from isoflop.train.spec import TrainSpec

RETRIES: Mapping[str, int] = {"lost": 2, "memory": 1, "time": 0, "error": 0}
"""How often a run is tried again in one sweep, by the cause of its failure.

``lost``: its process or its machine ended. ``memory``: there was not enough of it; the run is then trained alone.
``time``: it took longer than it may; another try goes on from where it stood. ``error``: anything else, which would
most likely come again.
"""


@dataclass(frozen=True, kw_only=True)
class How:
    """What holds for every run of a sweep and changes none of their losses.

    Attributes:
        checkpoint_every: steps after which a run writes where it stands, to go on from after an interruption; 0 writes
            only when it is asked to stop.
        extendable: a run keeps the checkpoint from which longer ones may begin, and begins from such a one if there is.
        run_seconds: a run that has taken longer fails; of K runs trained together each takes a K-th of the time.
    """

    checkpoint_every: int = 0
    extendable: bool = False
    run_seconds: float | None = None


@dataclass(frozen=True)
class RunEnd:
    """How a run ended on its worker.

    Attributes:
        state: ``finished``, ``diverged``, ``failed``; ``taken`` by another process; ``stopped`` where it stood, because
            the worker was asked to stop.
        error: what went wrong.
        cause: of a failure, of :data:`RETRIES`.
        fatal: no other run can do better: the store cannot be written.
    """

    state: str
    error: str | None = None
    cause: str = "error"
    fatal: bool = False


OnStep = Callable[[int, int], None]
OnEnd = Callable[[int, RunEnd], None]


class Worker(Protocol):
    """Executes one job at a time."""

    def run(self, job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> None:
        """Execute ``job``; never raises for what goes wrong inside it.

        Calls ``on_step(index, step)`` as its runs go, and ``on_end(index, end)`` once for each of them, as it ends.
        """

    def stop(self) -> None:
        """Have the runs of the job write where they stand, and end; take no other. Does not wait for it."""

    def close(self) -> None:
        """Stop at once, also amid a job."""


def make_job(store: RunStore, specs: Sequence[TrainSpec], threads: int, how: How) -> dict[str, Any]:
    """The job of making ``specs`` together."""
    return {
        "store": store.address,
        "specs": [spec.to_dict() for spec in specs],
        "threads": threads,
        "how": asdict(how),
    }


def made_with(corpus: Corpus, transfer: Sequence[Corpus], engine: str) -> dict[str, str]:
    """What the record of a run says of its data, of other corpora that it is judged on, and of what computes it."""
    others = {"transfer": [other.described() for other in transfer]} if transfer else {}
    data = {"corpus": corpus.described(), **others}
    return {"engine": engine, **{name: msgspec.json.encode(said).decode() for name, said in data.items()}}
