"""The command line: verbs that parse, call the library and print."""

from isoflop.cli.app import app, main

__all__ = ["app", "main"]
