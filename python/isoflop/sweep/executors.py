"""Where the runs of a sweep are made: on this machine, a Ray cluster, Slurm, or by torchrun; each by one call.

Every executor takes what :func:`isoflop.sweep.launcher.run_sweep` takes and gives what it gives. The store is the truth
of what has been made: any of them can be stopped, and another go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from isoflop.errors import SpecError, nearest
from isoflop.hardware import cores, gpus
from isoflop.runs import RunStore
from isoflop.sweep.job import How
from isoflop.sweep.launcher import SweepResult, Watcher, run_sweep
from isoflop.train.spec import TrainSpec

Option = str | int | float
Options = Mapping[str, Option]


class Executor(Protocol):
    """Makes every run of ``specs`` that ``store`` does not hold ended; see :func:`isoflop.sweep.launcher.run_sweep`."""

    def __call__(
        self,
        specs: Sequence[TrainSpec],
        store: RunStore,
        *,
        workers: int | None = ...,
        watcher: Watcher | None = ...,
        how: How | None = ...,
        retries: Mapping[str, int] = ...,
        seconds: float | None = ...,
        stop: threading.Event | None = ...,
    ) -> SweepResult: ...


def local(address: str | None, options: Options) -> Executor:
    """Processes of this machine, one a worker."""
    _refuse_unknown("local", options, ())
    return run_sweep


def ray(address: str | None, options: Options) -> Executor:
    """Actors of the cluster at ``address``; options are what each takes of it: ``num_gpus`` may be a fraction."""
    from isoflop.sweep.ray_worker import RayWorker, connect

    needs = {name: float(value) for name, value in options.items()}

    def sweep(specs: Sequence[TrainSpec], store: RunStore, **settings: Any) -> SweepResult:
        room = connect(address, needs)
        workers = settings.pop("workers", None) or room
        return run_sweep(specs, store, worker=partial(RayWorker, needs), workers=workers, **settings)

    return sweep


def slurm(address: str | None, options: Options) -> Executor:
    """An array of jobs; options are submitit's, and ``cluster``: ``local`` for jobs that are processes here."""
    from isoflop.sweep.slurm import SlurmExecutor

    rest = {name: value for name, value in options.items() if name != "cluster"}
    return SlurmExecutor(rest, cluster=str(options.get("cluster", "slurm")))


def torchrun(address: str | None, options: Options) -> Executor:
    """One run at a time, over all workers: one a GPU, or a core where there is none; option ``spread``."""
    from isoflop.sweep.torchrun import TorchrunWorker

    _refuse_unknown("torchrun", options, ("spread",))
    spread = str(options.get("spread", "ddp"))

    def sweep(specs: Sequence[TrainSpec], store: RunStore, **settings: Any) -> SweepResult:
        processes = settings.pop("workers", None) or len(gpus()) or int(cores())
        worker = partial(TorchrunWorker, processes, spread)
        return run_sweep(specs, store, worker=worker, workers=1, **settings)

    return sweep


EXECUTORS: Mapping[str, Callable[[str | None, Options], Executor]] = {
    "local": local,
    "ray": ray,
    "slurm": slurm,
    "torchrun": torchrun,
}
"""By name: what makes an executor from an address, where it has one, and its options."""


def make_executor(name: str, address: str | None = None, options: Options | None = None) -> Executor:
    """The executor of that name.

    Raises:
        SpecError: none has that name, or it has no such option.
    """
    if name not in EXECUTORS:
        raise SpecError(f"no executor {name!r}", hint=nearest(name, EXECUTORS))
    return EXECUTORS[name](address, options or {})


def parse_options(given: Sequence[str]) -> dict[str, Option]:
    """``["num_gpus=0.25"]`` as ``{"num_gpus": 0.25}``: numbers where they are numbers.

    Raises:
        SpecError: one that is not NAME=VALUE.
    """
    options: dict[str, Option] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not name or not sign:
            raise SpecError(f"option {one!r} must be NAME=VALUE", hint="--option num_gpus=0.25")
        options[name] = _number(value)
    return options


def _number(text: str) -> Option:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _refuse_unknown(name: str, options: Options, known: Sequence[str]) -> None:
    for given in options:
        if given not in known:
            hint = nearest(given, known) if known else "it has none"
            raise SpecError(f"executor {name!r} has no option {given!r}", hint=hint)
