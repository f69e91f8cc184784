"""The application: what every command shares, and how an error becomes a message and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from isoflop import __version__
from isoflop.errors import IsoflopError

app = typer.Typer(
    name="isoflop",
    help="Scaling studies of neural language models: count, train small, fit the law, plan large.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


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
