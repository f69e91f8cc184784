"""Train runs of one shape and batch together: each sees what it would see alone, and ends when it would end.

What a run is given (its windows, its learning rates) is laid out some steps ahead for all runs at once, so that a step
costs Python little beside the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from isoflop.data import Corpus
from isoflop.errors import SpecError
from isoflop.hardware import energy
from isoflop.runs import Recorder
from isoflop.train.checkpoint import Checkpoints
from isoflop.train.course import Course, Outcome
from isoflop.train.interrupted import Interrupted
from isoflop.train.judge import Judge, judge
from isoflop.train.measurements.cost import Shares
from isoflop.train.measurements.noise import of_half
from isoflop.train.partings import Parting, partings
from isoflop.train.spec import TrainSpec, stack_key
from isoflop.train.step import Step, make_step
from isoflop.train.windows import WindowOrder

Progress = Callable[[int, int], None]
Ended = Callable[[int, Outcome], None]
Stop = Callable[[], bool]

# What is laid out at a time: many steps of small runs, one of large ones.
_AHEAD_STEPS, _AHEAD_TOKENS = 256, 1 << 18


def train_stack(
    specs: Sequence[TrainSpec],
    corpora: Sequence[Corpus],
    recorders: Sequence[Recorder | None],
    *,
    step: Step | None = None,
    transfer: Sequence[Sequence[Corpus]] | None = None,
    checkpoints: Sequence[Checkpoints] | None = None,
    progress: Progress | None = None,
    ended: Ended | None = None,
    stop: Stop | None = None,
) -> list[Outcome]:
    """Train the models of ``specs``, each on its corpus; log points to its recorder and finish it.

    Runs that are over, or have diverged, rest while the others go on. The losses of a run are those it has alone, also
    where its first steps are made once for it and for a longer run: see :mod:`isoflop.train.partings`.

    Args:
        specs: K runs; equal in what :func:`isoflop.train.spec.stack_key` says.
        corpora: of each run.
        recorders: of each run, entered; None records nothing.
        step: the engine, with a model for each run; by default the one that the specs name.
        transfer: of each run, the corpora that its ``transfer`` names.
        checkpoints: of each run: where it goes on from, if anything is there, and where and when it writes them.
        progress: is called with the index of a run and its step, after each of its steps.
        ended: is called with the index and the outcome of a run that has just ended.
        stop: is asked after every step whether to stop here, with the checkpoints of all runs that are not over.

    Raises:
        Interrupted: ``stop`` said so.
        SpecError: runs that do not go together.
        CorpusError: a corpus lacks the tokens, the held-out tokens or the vocabulary that its spec asks for.
        CheckpointError: a checkpoint is damaged, or of another run.
        NotEnoughMemory: the stack is predicted to take more memory than there is.
        StoreError: points or checkpoints cannot be written.
    """
    refuse_mixture(specs)
    began = time.monotonic()
    orders = [WindowOrder(spec, corpus) for spec, corpus in zip(specs, corpora, strict=True)]
    courses = [Course(spec, recorder) for spec, recorder in zip(specs, recorders, strict=True)]
    others = transfer or [()] * len(specs)
    judges = [Judge(*each) for each in zip(specs, corpora, others, strict=True)]
    engine = make_step(specs) if step is None else step
    for k, files in enumerate(checkpoints or ()):
        if files.resume(k, engine, courses[k]):
            orders[k].skip(courses[k].step * engine.batch)

    live = list(range(len(specs)))
    following = _Following(partings(specs), engine, courses)
    outcomes: dict[int, Outcome] = {}
    ahead, shares = _Ahead(courses, orders), Shares(energy(_gpu(engine.active.device)))
    while live:
        training = len(live) - len(following)
        rates, tokens, targets = ahead.next([k for k in live if k not in following])
        engine.hyper["lr"].copy_(rates)
        losses = engine.step(tokens, targets).tolist()
        if engine.parts > 1:
            squares = of_half(engine.squares.numpy(force=True), engine.parts)
            for k in live:
                courses[k].add_squares(squares[following.trunk(k)])
        due = [k for k in live if courses[k].advance(losses[following.trunk(k)], own=k not in following)]
        if progress is not None:
            for k in live:
                progress(k, courses[k].step)
        if due:
            shares.advance(training)
            asked = {k: judges[k] for k in due if courses[k].evaluation_due}
            with following.shown(asked):
                found = judge(engine, asked)
            shares.rest(training)
            for k in due:
                courses[k].log(shares, found.get(k))
        if checkpoints is not None:
            for k in live:
                if not courses[k].diverged and checkpoints[k].due(courses[k]):
                    checkpoints[k].save(following.trunk(k), engine, courses[k])
        for k in due:
            if courses[k].over:
                live.remove(k)
                engine.active[k] = False
                outcomes[k] = courses[k].finish(time.monotonic() - began)
                if ended is not None:
                    ended(k, outcomes[k])
        for k, steps in following.part(live):
            orders[k].skip(steps * engine.batch)
            ahead.lay_out(k)
        if due:
            shares.rest(training)
        if live and stop is not None and stop():
            for k in live:
                if checkpoints is not None:
                    checkpoints[k].save(following.trunk(k), engine, courses[k], now=True)
            raise Interrupted(f"{len(live)} runs were stopped after {courses[live[0]].step} steps")
    return [outcomes[k] for k in range(len(specs))]


def refuse_mixture(specs: Sequence[TrainSpec]) -> None:
    """Raise SpecError where ``specs`` are none, or cannot be trained as one stack."""
    keys = dict.fromkeys(stack_key(spec) for spec in specs)
    if len(keys) != 1:
        kinds = [dict(key) for key in keys]
        named = {name: dict.fromkeys(kind.get(name) for kind in kinds) for kind in kinds for name in kind}
        differ = [f"; {name}: {', '.join(map(repr, each))}" for name, each in named.items() if len(each) > 1]
        raise SpecError(
            f"{len(specs)} runs of {len(keys)} kinds cannot be trained together{''.join(differ)}",
            hint="the runs of a stack share shape, batch, its parts, engine, precision, optimizer, and whether noise "
            "is measured and anything dropped",
        )


class _Following:
    """Runs of a stack that make no steps of their own yet: each has those of its trunk, until they part.

    A run that goes on from a checkpoint follows only a trunk that stands at the same step.
    """

    def __init__(self, found: Mapping[int, Parting], engine: Step, courses: Sequence[Course]) -> None:
        self._engine, self._courses = engine, courses
        self._left = {
            k: parting for k, parting in found.items() if courses[k].step == courses[parting.trunk].step < parting.step
        }
        self._since = {k: courses[k].step for k in self._left}
        for k in self._left:
            engine.active[k] = False

    def __len__(self) -> int:
        return len(self._left)

    def __contains__(self, run: int) -> bool:
        return run in self._left

    def trunk(self, run: int) -> int:
        """The run whose steps those of ``run`` are now."""
        return self._left[run].trunk if run in self._left else run

    @contextmanager
    def shown(self, runs: Collection[int]) -> Iterator[None]:
        """While it lasts, the engine has the models of those of ``runs`` that follow another."""
        mine = [k for k in runs if k in self._left]
        for k in mine:
            self._load(k)
        yield
        for k in mine:
            self._engine.active[k] = False

    def part(self, live: Sequence[int]) -> list[tuple[int, int]]:
        """The runs that go on by themselves from here, having parted from their trunk or seen its end, and the steps
        that each has followed it for."""
        parted = []
        for k, (trunk, step) in [(k, (each.trunk, each.step)) for k, each in self._left.items()]:
            if k not in live:
                del self._left[k]
            elif self._courses[k].step == step or trunk not in live:
                self._load(k)
                del self._left[k]
                parted.append((k, self._courses[k].step - self._since[k]))
        return parted

    def _load(self, run: int) -> None:
        self._engine.load_state(run, self._engine.state(self._left[run].trunk))
        self._engine.active[run] = True


def _gpu(device: torch.device) -> str | None:
    """The UUID of the GPU that trains; None where none does."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else None


class _Ahead:
    """The next steps of every run: learning rates (K,) and windows (K, batch, n_ctx) int64, a step at a time."""

    def __init__(self, courses: Sequence[Course], orders: Sequence[WindowOrder]) -> None:
        self._courses, self._orders = courses, orders
        spec = courses[0].spec
        form = len(courses), spec.batch_windows, spec.shape.n_ctx
        steps = max(1, min(_AHEAD_STEPS, _AHEAD_TOKENS // (len(courses) * spec.batch_tokens)))
        self._rates = torch.zeros(steps, len(courses), dtype=torch.float64)
        self._tokens, self._targets = (torch.zeros(steps, *form, dtype=torch.int64) for _ in range(2))
        self._at = steps

    def next(self, live: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Of the ``live`` runs; what is there for the others means nothing, but is in the vocabulary."""
        if self._at == len(self._rates):
            self._at = 0
            for k in live:
                self.lay_out(k)
        at, self._at = self._at, self._at + 1
        return self._rates[at], self._tokens[at], self._targets[at]

    def lay_out(self, k: int) -> None:
        """Run ``k``, from the next step to the last of those laid out for all runs."""
        course, batch, at = self._courses[k], self._tokens.shape[2], self._at
        rates = course.rates[course.step : course.step + len(self._rates) - at]
        end = at + len(rates)
        windows = self._orders[k].take(len(rates) * batch).reshape(len(rates), batch, -1)
        self._rates.numpy()[at:end, k] = rates
        self._tokens.numpy()[at:end, k] = windows[..., :-1]
        self._targets.numpy()[at:end, k] = windows[..., 1:]
