"""A sweep as a person watches it: on standard error, a live bar on a terminal and a line a run elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from isoflop.sweep.cost import typical_seconds
from isoflop.train.spec import TrainSpec


class SweepProgress:
    """A :class:`~isoflop.sweep.launcher.Watcher` that shows runs, FLOPs done and time left; a context manager.

    The time left is the time so far scaled by the expected cost of what is left, so that it counts long runs as long.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[runs]} runs  {task.fields[flops]:.2e} FLOP"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._steps: dict[TrainSpec, int] = {}
        self._ended = 0
        self._total = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, specs: Sequence[TrainSpec], ended: int) -> None:
        self._total = len(specs)
        self._costs = {spec: typical_seconds(spec) for spec in specs}
        self._flops = {spec: spec.counts()["C_exact_causal"] for spec in specs}
        self._began = time.monotonic()
        if ended:
            self._console.print(f"{ended} runs are done already; {len(specs)} to go")
        elif not self._console.is_terminal:
            self._console.print(f"{len(specs)} runs to go, the longest first")
        self._task = self._bar.add_task(
            "training", total=sum(self._costs.values()) or None, runs=f"0/{self._total}", flops=0.0, left="-"
        )

    def step(self, spec: TrainSpec, step: int) -> None:
        self._steps[spec] = step
        self._refresh()

    def again(self, spec: TrainSpec, error: str | None) -> None:
        self._console.print(f"tried again: {error}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def end(self, spec: TrainSpec, state: str, error: str | None) -> None:
        self._steps[spec] = spec.n_steps
        self._ended += 1
        counts = spec.counts()
        line = f"[{self._ended:>3}/{self._total}] N {counts['N']:.2e}  D {counts['D']:.2e}  {state}"
        if error is not None:
            fate = "; left out of fits" if state == "diverged" else ""
            self._console.print(f"{line}: {error}{fate}", style="red", highlight=False, markup=False, soft_wrap=True)
        elif not self._console.is_terminal:
            self._console.print(f"{line}  {time.monotonic() - self._began:5.1f} s", highlight=False, markup=False)
        self._refresh()

    def _refresh(self) -> None:
        if self._task is None:
            return
        shares = {spec: step / spec.n_steps for spec, step in self._steps.items()}
        cost = sum(share * self._costs[spec] for spec, share in shares.items())
        flops = sum(share * self._flops[spec] for spec, share in shares.items())
        elapsed = time.monotonic() - self._began
        left = elapsed * (sum(self._costs.values()) - cost) / cost if cost else None
        self._bar.update(
            self._task,
            completed=cost,
            runs=f"{self._ended}/{self._total}",
            flops=flops,
            left="-" if left is None else f"{left / 60:.0f}:{left % 60:02.0f}",
        )
