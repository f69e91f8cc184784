"""Regressions: every benchmark's median over that of a loop timed beside it, against those of ``bench/baseline.json``.

Seconds differ from machine to machine and from hour to hour; what they are of a loop of Python and NumPy, timed before
and after each benchmark, differs less. A benchmark that takes more than ``--worse`` times what it took fails the run.
``make bench BASELINE=write`` writes what it timed into the file, on a machine that does nothing else; the rest stays.

What vectors of 8 do for a kernel they do not do for the loop: ratios hold among processors of one kind, as many cores
with the same instruction sets, and the file has those of each kind apart. Where it has none of this one, the others'
are shown, and named as such; they fail nothing.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from isoflop.hardware import info

FILE = Path(__file__).with_name("baseline.json")
WORSE = 1.6
_TURNS = 5

Baseline = dict[str, dict[str, float]]  # by the kind of processor, by benchmark
loops = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("baseline")
    group.addoption("--baseline", choices=("check", "write", "off"), default="off", help="compare with baseline.json")
    group.addoption("--baseline-file", type=Path, default=FILE)
    group.addoption("--worse", type=float, default=WORSE, help="how many times as long is a regression")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[loops] = {}


@pytest.fixture(autouse=True)
def _loop_beside(request: pytest.FixtureRequest) -> Iterator[None]:
    before = loop()
    yield
    request.config.stash[loops][request.node.nodeid] = math.sqrt(before * loop())


def loop() -> float:
    """Seconds of a fixed piece of work, half of it Python's and half NumPy's: the median of a few turns."""
    taken = []
    values = np.linspace(1.0, 2.0, 200_000)
    for _ in range(_TURNS):
        begun = time.perf_counter()
        total = 0.0
        for i in range(40_000):
            total += i % 7
        total += float(np.log(values).sum())
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    asked, beside, file = config.getoption("--baseline"), config.stash[loops], config.getoption("--baseline-file")
    timed = config._benchmarksession.benchmarks
    found = {
        each.fullname: each.stats.median / beside[each.fullname] for each in timed if each and each.fullname in beside
    }
    if asked == "off" or not found:
        return
    known: Baseline = json.loads(file.read_text()) if file.exists() else {}
    here = kind()
    if asked == "write":
        known[here] = known.get(here, {}) | {name: float(f"{found[name]:.4g}") for name in found}
        file.write_text(json.dumps(known, indent=1) + "\n")
        return
    say = config.get_terminal_writer().line
    say(f"\nTimes of a loop of Python and NumPy, now and in the baseline; this processor: {here}")
    if here in known:
        if compared(found, known[here], config.getoption("--worse"), say):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return
    say("NOT CHECKED: the baseline has no processor of this kind; --baseline=write adds it")
    for other, ratios in known.items():
        say(f"beside another kind, {other}")
        compared(found, ratios, math.inf, say)


def kind() -> str:
    """What ratios depend on of this machine, in words: cores and instruction sets."""
    machine = info()
    return f"{len(os.sched_getaffinity(0))} cores, {' '.join(machine.instruction_sets)}"


def compared(found: dict[str, float], known: dict[str, float], worse: float, say: Callable[[str], None]) -> bool:
    """Say what each benchmark takes beside what it took; whether one takes more than ``worse`` times as long."""
    regressed = False
    for name, ratio in sorted(found.items()):
        if name not in known:
            say(f"  {name}: {ratio:.4g}, not in the baseline")
            continue
        times = ratio / known[name]
        word = "WORSE" if times > worse else "better" if times < 1 / worse < 1 else ""
        say(f"  {name}: {ratio:.4g} against {known[name]:.4g}, {times:.2f} of it {word}")
        regressed |= times > worse
    return regressed
