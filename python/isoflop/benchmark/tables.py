"""A benchmark as tables of words: of what the terminal prints and the page shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from isoflop.benchmark.budget import Skipped
from isoflop.benchmark.found import Bench
from isoflop.benchmark.roofline import Row
from isoflop.benchmark.tune import Tuning
from isoflop.benchmark.variants import EXPLAINED


class Table(NamedTuple):
    """A caption that says what was measured and what is arithmetic, headings, and rows."""

    caption: str
    headings: Sequence[str]
    rows: list[Sequence[str]]


def tables(made: Bench) -> Iterator[Table]:
    """Correctness, times of ops, steps, fits and counts, what was skipped; one that has no rows is left out."""
    for table in (_verdicts(made), _ops(made), _steps(made), _beside(made), skipped_table(made.skipped)):
        if table.rows:
            yield table


def facts(made: Bench) -> list[Sequence[str]]:
    """What it ran on and what it is relative to, as pairs of words."""
    machine, top = made.machine, made.ceilings
    peaks = ", ".join(f"{rate / 1e12:.4g} {dtype}" for dtype, rate in top.matrix.items())
    reached = "; ".join(
        f"{each.dtype} {each.rate / 1e12:.4g} TFLOP/s"
        if each.kind == "matmul"
        else f"copies {each.rate / 1e9:.4g} GB/s"
        for each in made.measured
        if (each.where == "cpu") == (made.kind == "cpu")
    )
    versions = {"isoflop": machine.isoflop, "Python": machine.python} | {
        name: machine.packages.get(name) or "not installed" for name in ("torch", "triton")
    }
    ran = "kernels" if made.kernels else "ops in C++, and the definitions in plain torch: Triton kernels need a GPU"
    return [
        ("device", made.device),
        ("ran", ran),
        (
            "versions",
            ", ".join(f"{name} {value}" for name, value in versions.items())
            + (f", {made.runtime}" * bool(made.runtime)),
        ),
        ("driver", ", ".join(gpu.driver for gpu in machine.gpus) or "none"),
        ("date", made.date),
        ("took", f"{made.seconds:.0f} s of {made.limit:.0f} s" + (", quick" if made.quick else "")),
        (
            "ceilings of",
            f"{top.name}: {peaks} TFLOP/s, {top.bandwidth / 1e9:,.4g} GB/s ({top.source.partition(':')[0]})",
        ),
        ("measured here", reached),
        ("energy of", made.energy),
    ]


def roofline_table(rows: Sequence[Row]) -> Table:
    """Predictions, one line a pass, width and chip."""
    return Table(
        "Arithmetic, nothing measured: FLOPs and least bytes that each op states of itself, ceilings as published.",
        ("op", "pass", "width", "chip", "GFLOP", "MB", "FLOPs/byte", "ridge", "bound by", "at least"),
        [
            (
                row.op, row.phase, f"{row.width}", row.chip, f"{row.flops / 1e9:,.4g}", f"{row.bytes / 1e6:,.4g}",
                f"{row.intensity:.3g}", f"{row.ridge:.3g}", row.bound, duration(row.seconds),
            )
            for row in rows
        ],
    )  # fmt: skip


def tuning_table(made: Tuning) -> Table:
    """What was tried for every row of a table, and what was kept."""
    return Table(
        "Tiles, measured on this GPU: in turns with the present ones, which stay unless another is 2 % faster.",
        ("table", "size", "present", "kept", "time before", "after", "tried", "refused"),
        [
            (
                row.table, str(row.size), _numbers(row.before), _numbers(row.after) if row.changed else "the same",
                duration(row.before_seconds), duration(row.after_seconds), f"{row.tried}", f"{len(row.refused)}",
            )
            for row in made.rows
        ],
    )  # fmt: skip


def _numbers(row: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())


def duration(seconds: float) -> str:
    """Three digits in the unit that suits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds >= 1 / factor:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _verdicts(made: Bench) -> Table:
    rows: list[Sequence[str]] = [
        (
            each.op, each.dtype, each.implementation, f"{each.error:.1e}", f"{each.torch_error:.1e}",
            f"{each.allowed:.1e}", each.what, "right" if each.passed else "WRONG",
        )
        for each in made.verdicts
    ]  # fmt: skip
    return Table(
        "Correctness, measured against float64: the result or gradient that comes nearest to what is allowed, "
        "twice the error of plain torch in the same dtype and one rounding.",
        ("op", "dtype", "ran", "error", "torch's", "allowed", "where", ""),
        rows,
    )


def _ops(made: Bench) -> Table:
    ways = [name for name in EXPLAINED if any(name in each.times for each in made.ops)]
    rows: list[Sequence[str]] = []
    for each in made.ops:
        found = [each.times.get(way) for way in ways]
        first = next(iter(each.times.values()))
        rows.append((
            each.op, each.phase, str(each.size), each.dtype,
            *("" if time is None else _both(time.median, time.with_host) for time in found),
            duration(each.roofline), f"{each.roofline / first.median:.0%}",
        ))  # fmt: skip
    explained = "; ".join(f"{way}: {EXPLAINED[way]}" for way in ways)
    first_way = ways[0] if ways else ""
    host = "the device's own time, in brackets with the host" if made.kind == "cuda" else "by the wall"
    return Table(
        f"Time of ops, measured: medians, {host}. {explained}. The roofline is arithmetic, and the last column its "
        f"share in the time of {first_way}. Sizes are models x sequences x positions x width.",
        ("op", "pass", "size", "dtype", *ways, "roofline", "of it"),
        rows,
    )


def _both(median: float, with_host: float) -> str:
    return duration(median) if math.isclose(median, with_host) else f"{duration(median)} ({duration(with_host)})"


def _steps(made: Bench) -> Table:
    rows: list[Sequence[str]] = [
        (f"{each.n:.2e}", f"{each.n_layer} x {each.d_model}", f"{each.models}", each.variant, each.dtype,
         _both(each.seconds, each.with_host), f"{each.tokens_per_second:,.0f}", f"{each.mfu:.2%}",
         "" if each.memory is None else f"{each.memory / 1e9:.2f} GB",
         "" if each.joules is None else f"{each.joules / each.tokens:.3g}",
         "" if each.flops_per_joule is None else f"{each.flops_per_joule / 1e12:.3g}")
        for each in made.steps
    ]  # fmt: skip
    return Table(
        "Training steps, measured: forward, backward, clip and AdamW of K models; tokens/s of all models together, "
        "with the host. MFU is FLOPs by exact-causal over the peak above; joules are those of all that ran meanwhile.",
        ("N", "layers x width", "K", "way", "dtype", "step", "tokens/s", "MFU", "peak memory", "J/token", "TFLOP/J"),
        rows,
    )


def _beside(made: Bench) -> Table:
    best: dict[str, float] = {}
    for each in made.beside:
        if each.package == "isoflop":
            best[each.task] = min(each.seconds, best.get(each.task, math.inf))
    return Table(
        "Fits and counts, measured: the same by every tool that is installed, in turns on this processor; the median "
        "of the calls after the first, which may load and compile. Reached: of a fit the sum of Huber losses, less is "
        "better; of a count the share of all products of matrices, 1 is right.",
        ("task", "tool", "how", "first call", "later", "of isoflop's best", "reached"),
        [
            (
                each.task, f"{each.package} {each.version}", each.how, duration(each.first), duration(each.seconds),
                f"{each.seconds / best[each.task]:.3g}x" if each.task in best else "", f"{each.reached:.6g}",
            )
            for each in made.beside
        ],
    )  # fmt: skip


def skipped_table(skipped: Sequence[Skipped]) -> Table:
    """What was left out, and why."""
    return Table("Not done.", ("what", "why"), [(each.what, each.why) for each in skipped])
