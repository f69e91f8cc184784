"""The command line, called in this process."""

from cli.conftest import isoflop

__all__ = ["isoflop"]
