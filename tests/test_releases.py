"""What stands around a release: workflows that name real commands, wheels for every Python that is published."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

WORKFLOWS = ("ci", "docs", "wheels")
PUBLISHED = ("cp311", "cp312", "cp313", "cp314")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_commands_that_exist(root: Path, name: str) -> None:
    read = yaml.safe_load((root / ".github" / "workflows" / f"{name}.yml").read_text())
    assert read["name"] == name
    assert read[True], "when it runs: YAML 1.1 reads a bare 'on' as true"
    targets = set(re.findall(r"^(\w+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    for job, held in read["jobs"].items():
        needed = held.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= set(read["jobs"])
        assert held["steps"], job
        for step in held["steps"]:
            assert ("uses" in step) != ("run" in step), step
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w/-]+@[\w./]+", step["uses"]), "an action is named with its version"
            elif step["run"].startswith("make "):
                assert set(step["run"].split()[1:]) <= targets
            elif step["run"].startswith("bash "):
                assert (root / step["run"].split()[1]).is_file()


def test_no_workflow_may_write_more_than_it_publishes(root: Path) -> None:
    for name in WORKFLOWS:
        read = yaml.safe_load((root / ".github" / "workflows" / f"{name}.yml").read_text())
        assert read["permissions"] == {"contents": "read"}
        for job, held in read["jobs"].items():
            written = {right for right, level in held.get("permissions", {}).items() if level == "write"}
            assert written <= {"id-token", "pages"} if job == "publish" else not written


@pytest.mark.parametrize("form", ["failure", "law", "slow", "wrong-number"])
def test_an_issue_form_asks_what_is_needed_to_answer(root: Path, form: str) -> None:
    read = yaml.safe_load((root / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text())
    assert {"name", "description", "labels", "body"} <= set(read)
    fields = {field["id"]: field for field in read["body"]}
    assert len(fields) == len(read["body"]), "ids are unique"
    assert all(field["attributes"]["label"] for field in fields.values())
    assert any(field.get("validations", {}).get("required") for field in fields.values())


def test_wheels_are_built_for_every_published_python() -> None:
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed: isoflop[dev] brings it")
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", "linux"]
    done = subprocess.run([*command, "--archs", "x86_64", str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{python}-manylinux_x86_64" for python in PUBLISHED]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    script = project["tool"]["cibuildwheel"]["test-command"].partition("{project}/")[2]
    assert (root / script).is_file()


def test_the_version_is_that_of_the_newest_tag(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("setuptools_scm", reason="setuptools-scm is not installed: isoflop[dev] brings it")
    (tmp_path / "pyproject.toml").write_text((root / "pyproject.toml").read_text())

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    def version() -> str:
        return run(sys.executable, "-m", "setuptools_scm")

    def commit(words: str) -> None:
        identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org")
        run("git", *identity, "commit", "-q", "--allow-empty", "-m", words)

    run("git", "init", "-q")
    run("git", "add", "pyproject.toml")
    commit("first")
    assert version().startswith("0.1.dev")
    run("git", "tag", "v1.2.0")
    assert version() == "1.2.0"
    commit("after")
    assert version().startswith("1.2.1.dev1+g")
