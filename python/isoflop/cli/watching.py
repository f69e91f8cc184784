"""A store as it changes: one table, drawn again after every look."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from isoflop.cli.console import emit, print_table, states

if TYPE_CHECKING:
    from isoflop.sweep.watch import Doing, Look, Watch

_HEADINGS = ("run", "state", "N", "tokens", "done", "loss", "held out", "tokens/s", "FLOP/s", "MFU", "left")


def watch_live(watch: Watch, every: float) -> None:
    """Draw the table every so many seconds, until nothing is under way."""
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            look = watch.look()
            live.update(_drawn(look, rows=max(1, console.height - 6)), refresh=True)
            if not any(run.state == "running" for run in look.doing):
                return
            time.sleep(every)


def show(look: Look, as_json: bool) -> None:
    """Print one look."""
    if as_json:
        emit({**asdict(look), "states": dict(look.states)}, as_json)
        return
    print_table(_HEADINGS, [_row(run) for run in look.doing])
    print(_total(look))


def _drawn(look: Look, rows: int) -> Group:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading)
    for run in look.doing[:rows]:
        table.add_row(*_row(run))
    hidden = len(look.doing) - rows
    more = [Text(f"and {hidden} more")] if hidden > 0 else []
    return Group(table, *more, Text(_total(look)))


def _row(run: Doing) -> tuple[str, ...]:
    done = None if run.planned is None else run.tokens / run.planned
    return (
        run.id[:8],
        run.state,
        _number(run.n, ".3g"),
        _number(run.tokens, ".3g"),
        _number(done, ".0%"),
        _number(run.loss, ".4f"),
        _number(run.held_out, ".4f"),
        _number(run.rate, ".3g"),
        _number(run.flops, ".3g"),
        _number(run.utilisation, ".1%"),
        _time(run.left),
    )


def _total(look: Look) -> str:
    rate = "" if look.rate is None else f"; {look.rate:.3g} FLOP/s"
    left = "" if look.left is None else f", {_time(look.left)} left"
    return f"{states(dict(look.states))}{rate}{left}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
