"""Two results of the benchmark beside each other."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isoflop.benchmark import compare_results
from isoflop.cli.benchmarks import bench_app
from isoflop.errors import SpecError


@pytest.fixture(scope="module")
def result(root: Path) -> dict[str, Any]:
    """The oldest that is kept."""
    found: dict[str, Any] = json.loads(min((root / "bench" / "results").glob("*.json")).read_text())
    return found


@pytest.fixture
def files(result: dict[str, Any], tmp_path: Path) -> tuple[Path, Path]:
    """A result, and one of another machine whose copies take half the time and whose norms are as fast as they were."""
    other = copy.deepcopy(result)
    other["device"] = other["machine"]["cpu"] = "another"
    for each in other["measured"]:
        each["rate"] *= 3
    for each in other["ops"]:
        if each["op"] != "add_norm":
            for time in each["times"].values():
                for name in ("median", "low", "high"):
                    time[name] /= 2
    other["steps"] = other["steps"][1:]
    paths = tmp_path / "first.json", tmp_path / "second.json"
    for path, content in zip(paths, (result, other), strict=True):
        path.write_text(json.dumps(content))
    return paths


def test_ratios_say_how_many_times_as_fast_the_second_is(files: tuple[Path, Path], result: dict[str, Any]) -> None:
    made = compare_results(*files)
    ratio = {(group.kind, group.name): (group.least, group.mean, group.greatest) for group in made.groups()}
    assert ratio["op", "add_norm, forward"] == pytest.approx((1, 1, 1))
    assert ratio["op", "linear, forward"] == pytest.approx((2, 2, 2))
    assert len([line for line in made.lines if line.kind == "ceiling"]) == len(result["measured"])
    assert all(of == pytest.approx((3, 3, 3)) for (kind, _), of in ratio.items() if kind == "ceiling")
    assert ratio["step", "training step"] == pytest.approx((1, 1, 1))
    assert (made.only_first, made.only_second) == (1, 0)
    assert len([line for line in made.lines if line.kind == "step"]) == len(result["steps"]) - 1
    assert [words.partition(":")[0] for words in made.differs] == ["device", "processor"]


def test_fits_and_counts_are_compared_where_both_made_them(files: tuple[Path, Path], result: dict[str, Any]) -> None:
    for file, seconds in zip(files, (3.0, 2.0), strict=True):
        made = {"task": "a fit", "package": "scipy", "how": "Huber", "seconds": seconds}
        file.write_text(json.dumps(result | {"beside": [made]}))
    (line,) = (line for line in compare_results(*files).lines if line.kind == "beside")
    assert (line.name, line.at, line.ratio) == ("a fit", "scipy, Huber", 1.5)


def test_joules_are_compared_where_both_counted_them(files: tuple[Path, Path], result: dict[str, Any]) -> None:
    assert all(line.kind != "energy" for line in compare_results(*files).lines)
    for path, taken in zip(files, (3.0, 1.5), strict=True):
        steps = [each | {"joules": taken if each["models"] == 1 else None} for each in result["steps"]]
        path.write_text(json.dumps(result | {"steps": steps}))
    lines = [line for line in compare_results(*files).lines if line.kind == "energy"]
    assert len(lines) == len([each for each in result["steps"] if each["models"] == 1])
    assert {(line.name, line.ratio) for line in lines} == {("joules of a training step", 2.0)}


def test_measures_whose_middle_halves_overlap_are_not_apart(files: tuple[Path, Path]) -> None:
    apart = {line.name.partition(",")[0]: line.apart for line in compare_results(*files).lines if line.kind == "op"}
    assert apart["add_norm"] is False
    assert apart["linear"] is True


def test_turned_round_every_ratio_is_its_inverse(files: tuple[Path, Path]) -> None:
    first, second = files
    there = {(line.kind, line.name, line.at): line.ratio for line in compare_results(first, second).lines}
    back = {(line.kind, line.name, line.at): line.ratio for line in compare_results(second, first).lines}
    assert there.keys() == back.keys()
    assert all(there[key] * back[key] == pytest.approx(1) for key in there)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ("[1]", "is no result of isoflop bench"), ('{"ops": []}', "is no result")],
)
def test_a_file_that_is_no_result_is_refused_by_name(files: tuple[Path, Path], content: str, message: str) -> None:
    files[1].write_text(content)
    with pytest.raises(SpecError, match=f"second.json.*{message}"):
        compare_results(*files)
    with pytest.raises(SpecError, match=r"absent.json cannot be read"):
        compare_results(files[0], files[0].with_name("absent.json"))


def test_results_without_a_common_measure_are_refused(files: tuple[Path, Path], result: dict[str, Any]) -> None:
    files[1].write_text(json.dumps(result | {"device": "b", "measured": [], "ops": [], "steps": [], "beside": []}))
    with pytest.raises(SpecError, match="no measure in common"):
        compare_results(*files)


def test_the_command_prints_means_or_every_measure(files: tuple[Path, Path]) -> None:
    from typer.testing import CliRunner

    words = ["compare", *map(str, files)]
    means = CliRunner().invoke(bench_app, words).output
    assert "not the same: device: " in means
    assert "linear, forward" in means
    assert "2.00x" in means
    every = CliRunner().invoke(bench_app, [*words, "--all"]).output
    assert len(every.splitlines()) > len(means.splitlines())
    assert json.loads(CliRunner().invoke(bench_app, [*words, "--json"]).output)["groups"]


def test_results_are_compared_without_torch() -> None:
    code = "import sys, isoflop.benchmark as b; b.compare_results; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "isoflop.benchmark.compared" in loaded
    assert not {"torch", "triton"} & set(loaded)
