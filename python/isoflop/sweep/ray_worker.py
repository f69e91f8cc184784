"""Workers on a Ray cluster: actors, each with its share of a node, that drive a training process there.

The actor of a worker stays for as long as its node does, with torch loaded. When the node is lost, its run ends as
lost and is tried again by whichever worker is free; the worker takes its place on another node once there is one.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from isoflop.errors import SpecError, require
from isoflop.sweep.job import OnEnd, OnStep, RunEnd

_PLACE_SECONDS = 5.0
"""For a place on the cluster, before the job goes back to those who have one."""


class RayWorker:
    """One actor of a cluster that this process is connected to.

    Args:
        needs: what the actor takes: ``num_cpus``, ``num_gpus`` (a fraction shares a GPU), or resources of your own.
    """

    def __init__(self, needs: Mapping[str, float]) -> None:
        self._ray = require("ray", extra="ray")
        own = {name: value for name, value in needs.items() if name not in ("num_cpus", "num_gpus")}
        options = {"num_cpus": needs.get("num_cpus", 1), "num_gpus": needs.get("num_gpus", 0), "resources": own}
        # Two calls at a time: one that trains, and one that asks it to stop.
        self._make = self._ray.remote(_Trainer).options(max_concurrency=2, **options).remote
        self._actor: Any = None
        self._stopped = False

    def run(self, job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> None:
        left = set(range(len(job["specs"])))
        end = RunEnd("taken")
        try:
            if self._is_placed():
                events = self._actor.run.options(num_returns="streaming").remote(job)
                for event in map(self._ray.get, events):
                    if event["event"] == "step":
                        on_step(event["run"], event["step"])
                    else:
                        left.remove(event["run"])
                        on_end(event["run"], RunEnd(**event["end"]))
        except self._ray.exceptions.RayError as error:
            self._actor = None
            end = RunEnd("failed", f"its node or process was lost: {type(error).__name__}", "lost")
        if self._stopped:
            end = RunEnd("stopped")
        for index in sorted(left):
            on_end(index, end)

    def _is_placed(self) -> bool:
        """Whether the actor has its place on a node; where it has not, it goes on waiting for one."""
        if self._stopped:
            return False
        if self._actor is None:
            self._actor = self._make()
        ready = self._actor.ready.remote()
        placed, _ = self._ray.wait([ready], timeout=_PLACE_SECONDS)
        if placed:
            self._ray.get(ready)
        return bool(placed)

    def stop(self) -> None:
        self._stopped = True
        if (actor := self._actor) is not None:
            actor.stop.remote()

    def close(self) -> None:
        self._stopped = True
        if (actor := self._actor) is not None:
            self._ray.kill(actor)


class _Trainer:
    """Lives on a node: drives a process there as the launcher would on its own machine."""

    def __init__(self) -> None:
        from isoflop.sweep.local import LocalWorker

        self._worker = LocalWorker()

    def ready(self) -> None:
        """Answered once the actor has its place."""

    def run(self, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a job: steps, and the end of each of its runs."""
        events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

        def on_end(index: int, end: RunEnd) -> None:
            events.put({"event": "end", "run": index, "end": end.__dict__})

        def on_step(index: int, step: int) -> None:
            events.put({"event": "step", "run": index, "step": step})

        thread = threading.Thread(target=self._worker.run, args=(job, on_step, on_end))
        thread.start()
        left = len(job["specs"])
        while left:
            event = events.get()
            left -= event["event"] == "end"
            yield event
        thread.join()

    def stop(self) -> None:
        self._worker.stop()


def connect(address: str | None, needs: Mapping[str, float]) -> int:
    """Connect this process to the cluster at ``address``, or to a new one of this machine; how many workers it holds.

    Raises:
        MissingExtra: Ray is not installed.
        SpecError: there is no cluster there, or it never holds a worker that ``needs`` so much.
    """
    ray = require("ray", extra="ray")
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SpecError(f"no Ray cluster at {address!r}: {error}", hint="ray start --head says it") from error
    has = ray.cluster_resources()
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    asked = {names.get(name, name): value for name, value in {"num_cpus": 1.0, **needs}.items() if value}
    room = min(int(has.get(name, 0.0) / value) for name, value in asked.items())
    if not room:
        held = ", ".join(f"{has.get(name, 0.0):g} {name}" for name in asked)
        raise SpecError(f"a worker needs {asked} of a cluster with {held}", hint="--option num_gpus=0.25")
    return room
