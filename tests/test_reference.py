"""The reference pages: what they are made of is all there, and none of it is markup by accident."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import typer
from mkdocs.exceptions import PluginError

from isoflop.laws import LAWS, MULTI_POWER, PRESETS, Allocation

ROOT = Path(__file__).resolve().parents[1]

# Packages whose public names are described, those of the package itself first.
ROOMS = (
    *("isoflop", "isoflop.laws", "isoflop.fitting", "isoflop.planning", "isoflop.designing", "isoflop.runs"),
    *("isoflop.importers", "isoflop.tracing", "isoflop.data", "isoflop.train", "isoflop.benchmark", "isoflop.kernels"),
    *("isoflop.kernels.operators", "isoflop.report.figures"),
)


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def laws() -> ModuleType:
    return hook("law_pages")


@pytest.fixture(scope="module")
def pages(laws: ModuleType) -> dict[str, str]:
    return dict(laws.law_pages())


def test_every_law_has_one_heading_and_a_row_that_leads_to_it(pages: dict[str, str]) -> None:
    text = "\n".join(pages.values())
    for name in (*LAWS, MULTI_POWER.name):
        assert text.count(f"## {name} {{ #{name} }}") == 1, name
        (page,) = re.findall(rf"\| \[{re.escape(name)}\]\(([a-z-]+)\.md#{re.escape(name)}\)", pages["index"])
        assert f"{{ #{name} }}" in pages[page], name


def test_every_published_set_stands_once_with_its_constants_and_its_source(pages: dict[str, str]) -> None:
    text = "\n".join(pages.values())
    for name, published in PRESETS.items():
        row = re.findall(rf'<tr><td><code id="set-{re.escape(name)}">.*?</tr>', text)
        assert len(row) == 1, name
        values = (
            [*published.n_params, *published.n_tokens, *published.loss]
            if isinstance(published, Allocation)
            else list(published.values.values())
        )
        for value in values:
            assert f"{value:.8g}" in row[0], (name, value)
        (origin,) = re.findall(rf"<tr><td><code>{re.escape(name)}</code>.*?</tr>", text)
        assert ("<strong>no</strong>" in origin) == (not published.verified), name
        assert "".join(ElementTree.fromstring(origin).itertext()).count(published.source) == 1, name


def test_every_parameter_stands_with_its_meaning_and_its_domain(pages: dict[str, str]) -> None:
    text = "\n".join(pages.values())
    for law in (*LAWS.values(), MULTI_POWER):
        section = re.split(r"^## ", text.partition(f"{{ #{law.name} }}")[2], maxsplit=1, flags=re.MULTILINE)[0]
        for parameter in law.parameters:
            (row,) = re.findall(rf"<tr><td><math[^>]*>(?:(?!</tr>).)*<code>{parameter.name}</code>.*?</tr>", section)
            cells = ["".join(cell.itertext()) for cell in ElementTree.fromstring(row)]
            assert cells[1:5] == [parameter.name, parameter.meaning, parameter.unit, parameter.role], law.name
            assert f"{parameter.domain[0]:g}".replace("-inf", "−∞") == cells[5].split(" to ")[0], law.name


def test_what_the_declarations_say_is_text_and_never_markup(pages: dict[str, str]) -> None:
    text = "\n".join(pages.values())
    blocks = re.findall(r"^<(?:div|p|details).*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5 * len(LAWS)
    read = [ElementTree.fromstring(block) for block in blocks]
    named = {element.tag for block in read for element in block.iter()}
    assert {tag for tag in named if "MathML" not in tag} == {
        *("div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "details", "summary"),
        *("br", "small"),
    }


def test_a_note_with_marks_in_it_is_shown_as_it_stands(laws: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<b>a|b</b> & *c*"
    shown = laws.law_sheet("chinchilla")
    shown["law"]["note"] = shown["sets"][0]["note"] = shown["law"]["parameters"]["E"]["meaning"] = hostile
    monkeypatch.setattr(laws, "law_sheet", lambda name: shown)
    text = laws._law("chinchilla")
    assert text.count("&lt;b&gt;a|b&lt;/b&gt; &amp; *c*") == 3
    assert "<b>" not in text


def test_a_law_that_stands_on_no_page_stops_the_build(laws: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    title, names = laws.TOPICS["curves"]
    monkeypatch.setitem(laws.TOPICS, "curves", (title, names[1:]))
    with pytest.raises(PluginError, match="one page each: tissue; see TOPICS"):
        laws.law_pages()
    monkeypatch.setitem(laws.TOPICS, "curves", (title, [*names, "tissue"]))
    with pytest.raises(PluginError, match="one page each: tissue; see TOPICS"):
        laws.law_pages()


def test_every_command_stands_with_its_options_and_its_example() -> None:
    page = hook("command_page").command_page()
    program = typer.main.get_command(sys.modules["isoflop.cli.app"].app)

    def below(command: object, path: str) -> list[tuple[str, object]]:
        found = [(f"{path} {name}", each) for name, each in getattr(command, "commands", {}).items()]
        return [*found, *(deeper for name, each in found for deeper in below(each, name))]

    commands = below(program, "isoflop")
    assert len(commands) > 30
    for path, command in commands:
        (section,) = re.findall(rf"^#+ {path}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
        text = re.sub(r"<[^>]*>", "", section)
        for parameter in command.params:  # type: ignore[attr-defined]
            for name in parameter.opts:
                assert (name if name.startswith("-") else parameter.metavar or name) in text, (path, name)
        assert ("Example: " in text) == bool(command.epilog), path  # type: ignore[attr-defined]


def test_every_public_name_is_described_once() -> None:
    definition = hook("public_names")._definition
    named = [
        name
        for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    ]
    described = [definition(*name.rpartition(".")[::2]) for name in named]
    assert sorted(described) == sorted(set(described))
    for room in ROOMS:
        for name in importlib.import_module(room).__all__:
            assert name == "__version__" or definition(room, name) in described, f"{room}.{name}"


def test_a_name_that_is_not_there_stops_the_build() -> None:
    with pytest.raises(PluginError, match=r"::: isoflop\.fitting\.fitt: "):
        hook("public_names")._definition("isoflop.fitting", "fitt")


def test_entries_of_several_names_come_apart_and_prose_does_not() -> None:
    apart = hook("roles")._apart
    lines = [
        "N, D: prose.",
        "",
        "Args:",
        "    x, y: columns,",
        "        and more.",
        "    z: one.",
        "",
        "    a, b: late.",
    ]
    assert list(apart(lines)) == [
        *("N, D: prose.", "", "Args:", "    x: columns,", "        and more.", "    y: columns,", "        and more."),
        *("    z: one.", "", "    a: late.", "    b: late.", ""),
    ]


def test_roles_become_links_and_what_is_not_there_is_told(caplog: pytest.LogCaptureFixture) -> None:
    griffe = importlib.import_module("griffe")
    roles = hook("roles")
    source = '"""See :func:`~m.f`, :func:`f` and :class:`Gone`.\n\n>>> f()\n... # so\n"""\n\ndef f(): ...\n'
    with griffe.temporary_visited_module(source, module_name="m") as module:
        module.modules_collection["m"] = module
        roles.Roles().on_package(pkg=module, loader=None)
        link = '<autoref optional identifier="m.f"><code>f</code></autoref>'
        assert module.docstring.value == f"See {link}, {link} and `Gone`.\n\n```pycon\n>>> f()\n... # so\n```\n"
    assert caplog.messages == ["m refers to Gone, which is not there"]


@pytest.mark.parametrize("page", ["verification", "comparison"])
def test_every_file_that_a_page_rests_on_is_there(page: str) -> None:
    folder = ROOT
    named = re.findall(
        r"(?<![\w/])((?:tests|bench|kernels)/[\w/.*-]+|test_\w+\.py)", (ROOT / "docs" / f"{page}.md").read_text()
    )
    assert named
    for name in named:
        if "/" in name:
            folder = (ROOT / name).parent
        path = ROOT / name if "/" in name else folder / name
        assert list(path.parent.glob(path.name.rstrip("/"))), f"{page}.md names {name}"
