"""Docstrings as the site shows them: links in the place of roles, sessions as code, an entry for each name.

``:func:`isoflop.plan``` becomes a link to where the site describes it. A target that the package does not have is a
warning, which the strict build does not let pass; one that the site does not describe stays code without a link.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`(?P<short>~?)(?P<target>[\w.]+)`")
SECTION = re.compile(r"^(?:Args|Attributes|Raises):$")
TOGETHER = re.compile(r"^    (?P<names>\w+(?:, \w+)+):(?P<text>.*)$")
SESSION = re.compile(r"^>>> .*(?:\n(?:>>>|\.\.\.).*)*", re.MULTILINE)
LOGGER = logging.getLogger("mkdocs.hooks.roles")


class Roles(griffe.Extension):
    """Rewrites the docstrings of a package once all of it is read."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: object) -> None:
        """Replace the roles of every docstring."""
        for member in _below(pkg):
            if member.docstring is not None:
                text = ROLE.sub(lambda match, at=member: _link(match, at), member.docstring.value)
                text = SESSION.sub(r"```pycon\n\g<0>\n```", text)
                member.docstring.value = "\n".join(_apart(text.splitlines()))


def _below(scope: griffe.Object) -> Iterator[griffe.Object]:
    yield scope
    for member in scope.members.values():
        if not isinstance(member, griffe.Alias):
            yield from _below(member)


def _apart(lines: list[str]) -> Iterator[str]:
    """Lines of a docstring in which ``n_params, n_tokens: text`` is two entries of the same text."""
    within, entry = False, []
    for line in [*lines, ""]:
        if entry and not line.startswith("     "):
            yield from _entries(entry)
            entry = []
        within = SECTION.match(line) is not None or (within and (not line or line.startswith(" ")))
        if entry or (within and TOGETHER.match(line)):
            entry.append(line)
        else:
            yield line


def _entries(lines: list[str]) -> Iterator[str]:
    together = TOGETHER.match(lines[0])
    assert together is not None
    for name in together["names"].split(", "):
        yield f"    {name}:{together['text']}"
        yield from lines[1:]


def _link(match: re.Match[str], at: griffe.Object) -> str:
    target = match["target"]
    shown = target.rpartition(".")[2] if match["short"] else target
    path = _path(target, at)
    if path is None:
        LOGGER.warning("%s refers to %s, which is not there", at.path, target)
        return f"`{shown}`"
    return f'<autoref optional identifier="{path}"><code>{shown}</code></autoref>'


def _path(target: str, at: griffe.Object) -> str | None:
    """Where a name is defined: sought from the object outwards, as Python would, then from the top."""
    scope: griffe.Object | None = at
    while scope is not None:
        try:
            return scope[target].canonical_path
        except (KeyError, griffe.AliasResolutionError):
            scope = scope.parent
    try:
        return at.modules_collection[target].canonical_path
    except (KeyError, griffe.AliasResolutionError):
        return None
