"""One run on its way: its rates, what it logs and when, its best held-out loss, and when it ends."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.runs import Recorder
from isoflop.train.evaluate import HeldOutLoss
from isoflop.train.foreseen import foresee
from isoflop.train.judge import Measured
from isoflop.train.measurements.cost import Shares
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.fitting.final_loss import FinalLoss

# Points of the training loss a run, whatever its length; each is the mean since the one before.
_POINTS = 100

DIVERGED = HeldOutLoss(math.nan, math.nan, 0)


@dataclass(frozen=True)
class Outcome:
    """The held-out loss a training ended with, its best one under early stopping, and the step and tokens it took.

    Where the run was stopped because its end was foreseen, the loss is the one foreseen, at the end that was planned.
    ``held_out.mean`` is NaN where the training diverged; ``seconds`` are those from the beginning to this run's end.
    """

    held_out: HeldOutLoss
    step: int
    tokens: int
    seconds: float


class Course:
    """The bookkeeping of one run, a step at a time; everything in it follows from the spec and the losses seen.

    Attributes:
        rates: (n_steps,) learning rates.
        step: steps made.
        over: the run has ended: its steps are made, it was stopped early, or it diverged.
        diverged: a loss was not finite.
    """

    def __init__(self, spec: TrainSpec, recorder: Recorder | None) -> None:
        self.spec, self._recorder = spec, recorder
        self.rates = spec.rates()
        self._evaluate_at = spec.evaluate_at
        self._log_at = _log_steps(spec.n_steps) | self._evaluate_at
        self.step = 0
        self.over = self.diverged = False
        self._own = 0
        self._seen: dict[int, float] = {}
        self._foreseen: FinalLoss | None = None
        self._best: tuple[int, HeldOutLoss] | None = None
        self._since_best = self._count = 0
        self._loss = 0.0
        self._squares: NDArray[np.float64] = np.zeros(2)
        self._before: dict[str, float] = {}
        self._spent: dict[str, float] = {}

    def advance(self, loss: float, *, own: bool = True) -> bool:
        """Take in the loss of the next step, and whether it was this run's ``own``; whether a point is due after it."""
        self.step += 1
        self._own += own
        self._loss += loss
        self._count += 1
        self.diverged = not math.isfinite(self._loss)
        return self.step in self._log_at or self.diverged

    def add_squares(self, squares: NDArray[np.float64]) -> None:
        """Take in the squared gradients (2,) of the step: of half the batch, in the mean, and of all of it."""
        self._squares += squares

    @property
    def evaluation_due(self) -> bool:
        return self.step in self._evaluate_at and not self.diverged

    def log(self, shares: Shares, evaluation: Measured | None) -> None:
        """Write the point of this step, an evaluation's measurements in it, if there was one; is the run over?"""
        spec = self.spec
        point = {
            "tokens": self.step * spec.batch_tokens,
            "loss": self._loss / self._count,
            "lr": float(self.rates[self.step - 1]),
        }
        if "noise" in spec.measurements:
            half, whole = (self._squares / self._count).tolist()
            point |= {"grad_square_half": half, "grad_square": whole}
        if "cost" in spec.measurements:
            point |= self._cost(shares)
        if self.diverged:
            self._best, self.over = (self.step, DIVERGED), True
        if evaluation is not None:
            held_out, measured = evaluation
            point |= {"val_loss": held_out.mean, "val_loss_se": held_out.standard_error, **measured}
            self._since_best += 1
            if self._best is None or held_out.mean < self._best[1].mean or not spec.patience:
                self._best, self._since_best = (self.step, held_out), 0
        if self._recorder is not None:
            self._recorder.log(self.step, **point)
        self._loss, self._count, self._squares = 0.0, 0, np.zeros(2)
        stopped = bool(spec.patience) and self._since_best >= spec.patience
        if evaluation is not None and spec.early_stop and self.step < spec.n_steps:
            self._seen[self.step] = held_out.mean
            self._foreseen = foresee(spec, self.rates, self._seen)
            stopped = stopped or self._foreseen is not None
        self.over = self.over or stopped or self.step == spec.n_steps

    def _cost(self, shares: Shares) -> dict[str, float]:
        """Seconds and joules so far, those of earlier attempts included."""
        self._spent = {name: self._before.get(name, 0.0) + value for name, value in shares.taken().items()}
        return self._spent

    def sync(self) -> None:
        """Bring the points logged so far to the disk."""
        if self._recorder is not None:
            self._recorder.sync()

    def finish(self, seconds: float) -> Outcome:
        """The outcome of a run that is over, stated to its recorder too."""
        assert self._best is not None, "the last step is always evaluated"
        step, held_out = self._best
        foreseen: dict[str, float] = {}
        if self._foreseen is not None:
            low, high = self._foreseen.interval
            error = (high - low) / 2 / NormalDist().inv_cdf((1 + self._foreseen.level) / 2)
            foreseen = {"stopped_at": self.step, "foreseen_low": low, "foreseen_high": high}
            step, held_out = self.spec.n_steps, HeldOutLoss(self._foreseen.value, error, held_out.n_tokens)
        outcome = Outcome(held_out, step, step * self.spec.batch_tokens, seconds)
        if self._recorder is not None:
            self._recorder.finish(
                **foreseen,
                loss=held_out.mean,
                loss_se=held_out.standard_error,
                eval_tokens=held_out.n_tokens,
                step=outcome.step,
                tokens=outcome.tokens,
                trained_tokens=self._own * self.spec.batch_tokens,
            )
        return outcome

    def to_json(self) -> str:
        """Where the run stands, exactly: what :meth:`resume` goes on from."""
        best = None if self._best is None else [self._best[0], asdict(self._best[1])]
        state = {
            "step": self.step,
            "own": self._own,
            "best": best,
            "since_best": self._since_best,
            "loss": self._loss,
            "count": self._count,
            "squares": self._squares.tolist(),
            "spent": self._spent,
            "seen": list(self._seen.items()),
        }
        return json.dumps(state)

    def resume(self, state: str, *, own: bool = True) -> None:
        """Stand where :meth:`to_json` was called; points logged later than that are forgotten.

        Where it was not this run's ``own``, none of the steps so far count as its own.
        """
        values: dict[str, Any] = json.loads(state)
        self.step, self._own, self._since_best = values["step"], values["own"] if own else 0, values["since_best"]
        self._seen = dict(values.get("seen", []))
        self._loss, self._count = values["loss"], values["count"]
        self._squares = np.array(values["squares"])
        self._before = self._spent = values["spent"]
        best = values["best"]
        self._best = None if best is None else (best[0], HeldOutLoss(**best[1]))
        if self._recorder is not None and own:
            self._recorder.rewind(self.step)


def _log_steps(n_steps: int) -> set[int]:
    """At most ``_POINTS`` steps, evenly spaced in the logarithm, the first and the last among them."""
    return {int(step) for step in np.geomspace(1, n_steps, _POINTS).round()}
