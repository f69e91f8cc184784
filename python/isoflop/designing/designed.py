"""``Design``: runs that were chosen, what they are expected to show, and the study that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from isoflop.designing.machine import Machine
from isoflop.designing.study_text import study_text
from isoflop.errors import PlanError
from isoflop.shape import Shape

AIM_HEADINGS = ("target", "value", "now", "then", "times narrower")
RUN_HEADINGS = ("N", "D", "D/N", "FLOP", "times", "shape")


@dataclass(frozen=True)
class ChosenRun:
    """One run, made once for each of its seeds.

    Attributes:
        candidate: its row among the candidates.
        n_params, n_tokens: N and D.
        batch_tokens: tokens a step; None where the law sees none.
        flops: of one seed, 6 N D.
        seeds: of its repeats.
        shape: of the model; None where candidates were a table.
    """

    candidate: int
    n_params: float
    n_tokens: float
    batch_tokens: float | None
    flops: float
    seeds: tuple[int, ...]
    shape: Shape | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shape = None if self.shape is None else self.shape.to_dict()
        return {**vars(self), "seeds": list(self.seeds), "shape": shape}

    def row(self) -> tuple[str, ...]:
        """As text, under ``RUN_HEADINGS``."""
        s = self.shape
        drawn = "" if s is None else f"{s.n_layer} x {s.d_model}, {s.n_head} heads"
        numbers = (self.n_params, self.n_tokens, self.n_tokens / self.n_params, self.flops)
        return (*(f"{number:.4g}" for number in numbers), str(len(self.seeds)), drawn)


@dataclass(frozen=True)
class Aim:
    """What the runs are expected to do to one target.

    Attributes:
        target: as it was asked for.
        value: at the likeliest constants.
        before: its interval now: by the runs so far, or as the presumed constants are doubted.
        after: its interval by the runs so far and the new ones, where the target stays where it is now.
        spread_before, spread_after: standard deviations, of the logarithm where ``relative``; typical ones over the
            draws of the constants.
        relative: whether the target is a size or a loss.
    """

    target: str
    value: float
    before: tuple[float, float]
    after: tuple[float, float]
    spread_before: float
    spread_after: float
    relative: bool

    def row(self) -> tuple[str, ...]:
        """As text, under ``AIM_HEADINGS``."""
        spans = (f"[{low:.4g}, {high:.4g}]" for low, high in (self.before, self.after))
        return (self.target, f"{self.value:.4g}", *spans, f"{self.spread_before / self.spread_after:.3g}")


@dataclass(frozen=True)
class Design:
    """The next runs.

    Attributes:
        runs: the most telling first.
        aims: one a target.
        budget, spent: FLOPs; what is spent has the overhead of steps in it.
        launches: stacks that the runs make.
        machine: what makes them.
        noise: standard deviation of a run's ln loss that was counted with.
        misfit: of the law, likewise.
        level: of the intervals.
        law, source, n_convention: what was believed, where it is from, and which parameters N counts.
        n_candidates: runs that were chosen from.
        warnings: what to know before making them.
    """

    runs: tuple[ChosenRun, ...]
    aims: tuple[Aim, ...]
    budget: float
    spent: float
    launches: int
    machine: Machine
    noise: float
    misfit: float
    level: float
    law: str
    source: str
    n_convention: str
    n_candidates: int
    warnings: tuple[str, ...]

    @property
    def n_runs(self) -> int:
        """Trainings, repeats counted."""
        return sum(len(run.seeds) for run in self.runs)

    def to_toml(self, *, name: str = "design", corpus: str = "stdlib", train: Mapping[str, Any] | None = None) -> str:
        """A study file that ``isoflop sweep`` runs as it is.

        Args:
            name: of the study.
            corpus: what to train on, by name or path.
            train: settings of ``[train]``.

        Raises:
            PlanError: candidates were a table: nobody said of which shape they are.
        """
        if any(run.shape is None for run in self.runs):
            raise PlanError("rows of a table have no shapes to train", hint="design(..., space=Space()) has")
        settings = dict(train or {})
        if self.machine.batch_tokens is not None:
            settings.setdefault("batch_tokens", self.machine.batch_tokens)
        return study_text(self, name, corpus, settings)

    def save(self, path: str | Path, **given: Any) -> None:
        """Write :meth:`to_toml` to a file."""
        Path(path).write_text(self.to_toml(**given), encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        record = {**vars(self), "n_runs": self.n_runs, "machine": asdict(self.machine)}
        record["runs"] = [run.to_dict() for run in self.runs]
        record["aims"] = [{**vars(aim), "before": list(aim.before), "after": list(aim.after)} for aim in self.aims]
        record["warnings"] = list(self.warnings)
        return record

    def facts(self) -> list[str]:
        """What was believed, what it costs and what to know, a line each."""
        convention = f", N counts {self.n_convention} parameters" if self.n_convention else ""
        stacks = f" in {self.launches} stacks" if self.machine.stack > 1 else ""
        slots = f", {self.machine.slots} at a time" if self.machine.slots > 1 else ""
        return [
            f"{self.n_runs} runs{stacks}{slots}: {self.spent:.4g} of {self.budget:.4g} FLOP",
            f"chosen from {self.n_candidates} by {self.law}: {self.source}{convention}",
            f"noise {self.noise:.2%} of the loss, misfit of the law {self.misfit:.2%}, {self.level:.0%} intervals",
            *(f"warning: {warning}" for warning in self.warnings),
        ]

    def __str__(self) -> str:
        aims = _aligned([AIM_HEADINGS, *(aim.row() for aim in self.aims)])
        runs = _aligned([RUN_HEADINGS, *(run.row() for run in self.runs)])
        return "\n".join([*aims, "", *runs, "", *self.facts()])

    def _repr_html_(self) -> str:
        tables = "".join(
            "<table>" + "".join(_html_row(row) for row in rows) + "</table>"
            for rows in (
                [AIM_HEADINGS, *(aim.row() for aim in self.aims)],
                [RUN_HEADINGS, *(run.row() for run in self.runs)],
            )
        )
        return tables + "<p>" + "<br>".join(escape(fact) for fact in self.facts()) + "</p>"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _html_row(row: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
