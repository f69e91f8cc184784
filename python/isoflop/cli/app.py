"""The application: what every command shares, and how an error becomes a message and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from isoflop import __version__
from isoflop.errors import IsoflopError


class Verbs(TyperGroup):
    """Commands, listed with the whole first sentence that each says of itself; an interrupt ends them in words."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [
            (name, each.get_short_help_str(limit=1000)) for name, each in commands.items() if each and not each.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # which typer would end without a word
            print("stopped; the same command goes on where it stopped", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Verbs,
    name="isoflop",
    help="Scaling studies of neural language models: count, train small, fit the law, plan large.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help takes 0.1 s to import
)

VERBS: Mapping[str, str] = {
    "count": "costs",
    "info": "costs",
    "fit": "fits",
    "plan": "answers",
    "design": "designs",
    "compare": "systems",
    "demo": "studies",
    "sweep": "studies",
    "report": "reports",
    "bench": "benchmarks",
    "runs": "runs",
    "advise": "advice",
    "laws": "laws",
}
"""The module of each verb; only that of the verb asked for is loaded, and all of them where none is."""

StorePath = Annotated[
    str, typer.Argument(help="A run store: a folder, or a URL such as s3://bucket/runs.", metavar="STORE")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Runs at a time; default one a core.")]
Level = Annotated[float, typer.Option(help="Of the intervals.")]


class NConvention(StrEnum):
    """Which parameters N counts."""

    nonembedding = "non-embedding"
    total = "total"


WhichN = Annotated[NConvention, typer.Option(help="Of a store: which parameters of its runs N is.")]


def main() -> None:
    """Run a command; an error the package raises on purpose becomes a message, its hint and an exit code."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for module in dict.fromkeys([VERBS[asked]] if asked in VERBS else VERBS.values()):
        importlib.import_module(f"isoflop.cli.{module}")
    try:
        app()
    except IsoflopError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _version(asked: bool) -> None:
    if asked:
        print(f"isoflop {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""
