"""The tutorial as a page: mkdocs calls this as a hook, which runs docs/tutorial.py as a notebook, cell by cell.

The site gets the executed notebook, tutorial.ipynb, and a page of the same cells and what they gave. A cell that fails,
or warns, fails the build.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

NAME = "tutorial"
PICTURES = f"{NAME}_files"
SECONDS = 120  # a cell may take


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The tutorial's page, notebook and pictures among the files of the site."""
    notebook = executed(Path(config.docs_dir) / f"{NAME}.py")
    pictures: dict[str, bytes] = {}
    page = "\n\n".join(text for cell in notebook.cells for text in as_markdown(cell, pictures))
    made = {f"{NAME}.ipynb": nbformat.writes(notebook), f"{NAME}.md": page, **pictures}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def executed(source: Path) -> Any:
    """The notebook of a file in jupytext's percent format, run at the root of the repository."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    where = {"metadata": {"path": str(source.parents[1])}}
    with TemporaryDirectory() as sockets:  # and no ports, at which others could listen
        config = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        try:
            NotebookClient(notebook, kernel_name="python3", timeout=SECONDS, resources=where, config=config).execute()
        except CellExecutionError as error:
            raise PluginError(f"{source}: a cell fails\n{error}") from error
    for cell in notebook.cells:
        said = "".join(each.text for each in cell.get("outputs", ()) if each.get("name") == "stderr")
        if "Warning" in said:
            raise PluginError(f"{source}: a cell warns\n{cell.source}\n{said}")
        if cell.cell_type == "code":  # the rest is progress, of compilations and caches of this machine
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    return notebook


def as_markdown(cell: Any, pictures: dict[str, bytes]) -> Iterator[str]:
    """A cell and what it gave; pictures are added to ``pictures`` by their path in the site."""
    if cell.cell_type != "code":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    for output in cell.outputs:
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "text/html" in data:
            yield data["text/html"]
        elif "image/png" in data:
            path = f"{PICTURES}/{len(pictures)}.png"
            pictures[path] = base64.b64decode(data["image/png"])
            yield f"![What the cell above draws]({path})"
        else:
            yield f"```text\n{data['text/plain'].rstrip()}\n```"
