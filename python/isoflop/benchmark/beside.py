"""Fits and counts beside other tools: the same task in turns by each that is installed, and what it reached."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import torch

from isoflop.benchmark import counters, fitters
from isoflop.benchmark.ahead import first_line
from isoflop.benchmark.budget import Budget

TURNS = 3
"""Later turns of a tool whose first call took less than ``LONG`` seconds, or compiled."""

LONG = 1.0
SHORT = 0.02
"""Seconds that a turn has at least: as many calls as that takes."""

Task = Callable[[], list["Tool"]]


@dataclass(frozen=True)
class Tool:
    """A way to do a task: ``run`` does it and gives what it reached; ``package`` is the one whose version is told.

    Attributes:
        compiles: whether a first call may take long and the next not.
    """

    package: str
    how: str
    run: Callable[[], float]
    compiles: bool = False


@dataclass(frozen=True)
class Beside:
    """What one tool took for one task.

    Attributes:
        task: its words, ``package``, ``how`` and ``version`` those of the tool.
        first: seconds of the first call, which may load and compile.
        seconds: the median of the later ones, or the first where it took long.
        turns: how many there were, the first among them.
        reached: of a fit the Huber sum at its parameters, of a count the share of all products of matrices.
    """

    task: str
    package: str
    how: str
    version: str
    first: float
    seconds: float
    turns: int
    reached: float


def fits() -> list[Tool]:
    """Chinchilla's law, fitted to 240 made runs."""
    data = fitters.points()

    def tool(package: str, how: str, fitter: Callable[[fitters.Columns], fitters.Fitted]) -> Tool:
        return Tool(package, how, lambda: fitters.huber_sum(data, fitter(data)[1]), compiles=package == "isoflop")

    asked = "Huber, its own starts, certified"
    some = f"Huber, L-BFGS-B from {4500 // fitters.SHARE} of 4500 starts"
    return [
        tool("isoflop", asked, fitters.by_isoflop),
        tool("isoflop", "least squares of logarithms", partial(fitters.by_isoflop, huber=False)),
        tool("scipy", some, fitters.by_scipy),
        tool("chinchilla", "Huber, from 243 of 4500 starts", fitters.by_chinchilla),
        tool("simple-scaling-laws", "its own objective, 200 draws", fitters.by_simple_scaling_laws),
    ]


def counts(sizes: counters.Sizes = counters.GPT2) -> list[Tool]:
    """Forward FLOPs of one sequence through a decoder of torch's own modules."""
    model, tokens, every = counters.decoder(sizes), counters.tokens_of(sizes), counters.products(sizes)
    with torch.device("meta"):
        on_meta = counters.decoder(sizes), counters.tokens_of(sizes)

    def tool(package: str, how: str, count: Callable[[], float]) -> Tool:
        def run() -> float:
            with torch.no_grad():
                return count() / every

        return Tool(package, how, run)

    return [
        tool("isoflop", "from the shape", lambda: counters.by_shape(sizes)),
        tool("isoflop", "trace, on meta tensors", lambda: counters.by_trace(*on_meta)),
        tool("isoflop", "trace, as it runs", lambda: counters.by_trace(model, tokens)),
        tool("torch", "FlopCounterMode, on meta tensors", lambda: counters.by_torch(*on_meta)),
        tool("torch", "FlopCounterMode, as it runs", lambda: counters.by_torch(model, tokens)),
        tool("fvcore", "as it runs", lambda: counters.by_fvcore(model, tokens)),
        tool("calflops", "as it runs", lambda: counters.by_calflops(model, tokens)),
        tool("torchinfo", "as it runs", lambda: counters.by_torchinfo(model, tokens)),
        tool("thop", "as it runs", lambda: counters.by_thop(model, tokens)),  # last: it leaves hooks in the model
    ]


TASKS: dict[str, Task] = {"fit of 240 runs": fits, "FLOPs of GPT-2 small, forward": counts}


def beside(budget: Budget, say: Callable[[str], None], tasks: dict[str, Task] | None = None) -> list[Beside]:
    """Every task by every tool that is installed; the others, and those that fail, are noted as skipped.

    Args:
        budget: when it is spent no further tool is begun.
        say: told what is done next.
        tasks: by name; default ``TASKS``.
    """
    made = []
    for name, make in (TASKS if tasks is None else tasks).items():
        taken: list[tuple[Tool, str, list[float], float]] = []
        for tool in make():
            what = f"{name}: {tool.package}, {tool.how}"
            if (found := installed(tool.package)) is None:
                budget.skip(what, f"{tool.package} is not installed")
            elif budget.left <= 0:
                budget.skip(what, "no time left")
            else:
                say(what)
                try:
                    reached, seconds = _timed(tool)
                except Exception as error:  # of a package of others: the rest is worth having all the same
                    budget.skip(what, f"failed: {first_line(error)}")
                else:
                    taken.append((tool, found, [seconds], reached))
        for _ in range(TURNS):
            for tool, _, times, _ in taken:
                if times[0] < LONG or tool.compiles:
                    times.append(_timed(tool, math.ceil(SHORT / min(times)))[1])
        made += [
            Beside(
                name,
                tool.package,
                tool.how,
                found,
                times[0],
                statistics.median(times[1:] or times),
                len(times),
                reached,
            )
            for tool, found, times, reached in taken
        ]
    return made


def installed(package: str) -> str | None:
    """Its version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _timed(tool: Tool, calls: int = 1) -> tuple[float, float]:
    begun = time.perf_counter()
    for _ in range(calls):
        reached = tool.run()
    return reached, (time.perf_counter() - begun) / calls
