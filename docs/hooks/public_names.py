"""Public names on the pages of the API: where each is defined, told from the package itself.

A page says ``::: isoflop.plan``, as its readers import it. Names are loaded on first use, and some packages have a
module of the same name, so that what reads the source without running it is told the module that defines each.
"""

from __future__ import annotations

import importlib
import importlib.util
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

NAMED = re.compile(r"^::: (isoflop[\w.]*)$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let every ``::: NAME`` of a page name the definition, under the heading NAME."""
    return NAMED.sub(lambda match: _described(match[1]), markdown)


def _described(public: str) -> str:
    package, _, name = public.rpartition(".")
    return f"::: {_definition(package, name)}\n    options:\n      heading: {public}\n      toc_label: {name}"


def _definition(package: str, name: str) -> str:
    """Where a class or function of a package is; a constant, and what a module defines, is under its public name."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return f"{package}.{name}"
    try:
        value = getattr(importlib.import_module(package), name)
    except AttributeError as error:
        raise PluginError(f"::: {package}.{name}: {error}") from error
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is not None and qualified is not None and module.startswith("isoflop"):
        return f"{module}.{qualified}"
    return f"{package}.{name}"
