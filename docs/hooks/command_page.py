"""The page of the command line, made of the verbs themselves whenever the site is built."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from html import escape
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from isoflop.cli.app import VERBS, app

PAGE = "reference/commands.md"

HEAD = """# Commands

What `isoflop VERB --help` says, for every verb. Results go to the standard output, as JSON with `--json`; progress and
errors go to the standard error. An error that is raised on purpose prints what was given and what to do, and returns 1,
or 2 where what was asked for makes no sense; an interrupt returns 130, and the same command goes on where it stopped.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those of the docs folder."""
    files.append(File.generated(config, PAGE, content=command_page()))
    return files


def command_page() -> str:
    """Markdown of every verb, a heading each."""
    for module in dict.fromkeys(VERBS.values()):
        importlib.import_module(f"isoflop.cli.{module}")
    program = typer.main.get_command(app)
    verbs: dict[str, Any] = program.commands
    return "\n".join([HEAD, *(part for name in VERBS for part in _verb(verbs[name], f"isoflop {name}", 2))])


def _verb(command: Any, path: str, level: int) -> Iterator[str]:
    context = typer.Context(command, info_name=path)
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"{'#' * level} {path}\n"
    yield "".join(f"<p>{escape(paragraph)}</p>\n" for paragraph in command.help.split("\n\n"))
    yield f"<pre><code>{escape(' '.join(usage.split()))}</code></pre>\n"
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if records:
        rows = "".join(
            f"<tr><td><code>{escape(left)}</code></td><td>{escape(said)}</td></tr>" for left, said in records
        )
        yield f"<table><thead><tr><th>given</th><th>what it says</th></tr></thead><tbody>{rows}</tbody></table>\n"
    if command.epilog:
        yield f"<p>Example: <code>{escape(command.epilog.removeprefix('Example: '))}</code></p>\n"
    for name, below in getattr(command, "commands", {}).items():
        yield from _verb(below, f"{path} {name}", level + 1)
