"""The hook that runs the tutorial: a cell that fails or warns fails the build; what cells give stands on the page."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

exceptions = pytest.importorskip("mkdocs.exceptions")
for needed in ("ipykernel", "jupytext", "nbclient"):
    pytest.importorskip(needed)
import nbformat.v4 as notebooks  # noqa: E402

pytestmark = [  # of jupyter's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    file = Path(__file__).parents[1] / ".ci" / "notebook.py"
    spec = importlib.util.spec_from_file_location("notebook_hook", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("cell", "message"),
    [("1 / 0", "a cell fails\n.*ZeroDivisionError"), ("import warnings\nwarnings.warn('old')", "a cell warns\n.*old")],
)
def test_a_cell_that_fails_or_warns_fails_the_build(hook: ModuleType, cell: str, message: str, tmp_path: Path) -> None:
    source = tmp_path / "docs" / "page.py"
    source.parent.mkdir()
    source.write_text(f"# %%\n{cell}\n")
    with pytest.raises(exceptions.PluginError, match=f"(?s){message}"):
        hook.executed(source)


def test_a_page_shows_tables_as_they_are_and_pictures_as_files(hook: ModuleType) -> None:
    data = [{"text/html": "<table></table>", "text/plain": "t"}, {"image/png": base64.b64encode(b"png").decode()}]
    outputs = [notebooks.new_output("display_data", data=each) for each in data]
    outputs.append(notebooks.new_output("stream", name="stdout", text="1\n"))
    cell = notebooks.new_code_cell("f()", outputs=outputs)
    pictures: dict[str, bytes] = {}
    code, table, picture, text = hook.as_markdown(cell, pictures)
    assert (code, table, text) == ("```python\nf()\n```", "<table></table>", "```text\n1\n```")
    assert picture == "![What the cell above draws](tutorial_files/0.png)"
    assert pictures == {"tutorial_files/0.png": b"png"}
