"""What is installed: a light import, stubs that match the extension, exactly the files meant."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from importlib.resources import files
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

import isoflop
from isoflop import _core, fitting, planning, train

HEAVY = {"numba", "torch", "triton", "matplotlib", "pyarrow", "scipy", "pandas", "sympy", "typer", "rich"}
KINDS = {".css", ".html", ".js", ".json", ".py", ".pyi", ".toml", ".typed"}


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_loads_no_heavy_library() -> None:
    loaded = run_python("import sys, isoflop; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert not HEAVY & set(loaded)


def test_importing_the_package_takes_less_than_a_quarter_second_of_a_core() -> None:
    timed = "import time; start = time.process_time(); import isoflop; print(time.process_time() - start)"
    assert min(float(run_python(timed)) for _ in range(5)) < 0.25


def test_the_list_of_commands_loads_no_library_but_that_of_the_command_line() -> None:
    called = "import sys; sys.argv = ['isoflop', '--help']; import atexit; from isoflop.cli import main\n"
    loaded = run_python(
        called + "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}))\nmain()"
    )
    assert not (HEAVY | {"numpy"}) - {"typer"} & set(loaded.split())


def test_there_is_one_version() -> None:
    assert isoflop.__version__ == _core.__version__ == version("isoflop")


def test_house_names_every_room_in_the_order_of_imports() -> None:
    root = Path(isoflop.__file__).resolve().parent
    house = Path(__file__).parents[1] / "docs" / "house.md"
    named = re.findall(r"^\| `(?:kernels/` → `isoflop\.)?(\w+)/?` \|", house.read_text(), flags=re.MULTILINE)
    contract = tomllib.loads((house.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [set(layer.split(" | ")) for layer in reversed(contract["layers"]) if "errors" not in layer]
    order = iter(named)
    assert [set(islice(order, len(layer))) for layer in layers] == layers
    assert set(named) == {path.parent.name for path in root.glob("*/__init__.py")}
    for room, row in re.findall(r"^\| `(\w+)/` \| (.*) \|$", house.read_text(), flags=re.MULTILINE):
        for part in re.findall(r"`(\w+)/?`", row):
            assert (root / room / part).is_dir() or (root / room / f"{part}.py").is_file(), f"{room}/{part}"


@pytest.mark.parametrize("name", isoflop.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(isoflop, name) is not None
    assert name in dir(isoflop)


@pytest.mark.parametrize("package", [isoflop, fitting, planning, train], ids=lambda package: package.__name__)
def test_type_checkers_and_the_lazy_table_see_the_same_names(package: ModuleType) -> None:
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert imported == {name: f"{package.__name__}.{below}" for name, below in package._home.items()}
    assert set(imported) <= set(package.__all__) <= {*imported, "__version__", "TrainSpec"}


def test_a_loaded_module_does_not_take_the_place_of_the_function_of_its_name() -> None:
    loaded = run_python(
        "import isoflop.planning.plan, isoflop.planning.pace, isoflop.fitting.fit, isoflop.planning as planning\n"
        "from isoflop.fitting import fit\n"
        "print(type(fit).__name__, type(planning.plan).__name__, type(planning.pace).__name__)"
    )
    assert loaded.split() == ["function"] * 3


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'isoflop' has no attribute 'fitt'"):
        _ = isoflop.fitt


def test_stubs_name_what_the_extension_holds() -> None:
    stub = ast.parse((files("isoflop") / "_core.pyi").read_text())
    assert stub_names(stub.body) == public_names(_core)
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            assert stub_names(node.body) == public_names(getattr(_core, node.name)), node.name


def stub_names(body: list[ast.stmt]) -> set[str]:
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {node.target.id for node in body if isinstance(node, ast.AnnAssign)}
    names |= {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets}
    return {name for name in names if not name.startswith("_")}


def public_names(holder: object) -> set[str]:
    return {name for name in dir(holder) if not name.startswith("_")}


# Which files a build holds does not hang on what is in an object file: that C++ compiles, every install shows, and the
# wheel that .ci/run builds and imports.
COMPILE_NOTHING = """#!/bin/sh
compiler=$1
while [ "$1" != -o ]; do shift; done
exec "$compiler" -x c++ -c /dev/null -o "$2"
"""


@pytest.mark.slow
def test_a_build_holds_exactly_the_files_meant(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("build", reason="build is not installed: isoflop[dev] brings it")
    tree = tmp_path / "isoflop"
    shutil.copytree(root, tree, symlinks=True, ignore=lambda folder, names: not_source(root, Path(folder), names))
    for path in ("notes.txt", "runs/points.jsonl", "python/isoflop/_old.so", "python/isoflop/__pycache__/shape.pyc"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()
    (launcher := tmp_path / "compile-nothing").write_text(COMPILE_NOTHING)
    launcher.chmod(0o755)
    quick = f"--config-setting=cmake.define.CMAKE_CXX_COMPILER_LAUNCHER={launcher}"
    command = [sys.executable, "-m", "build", "--no-isolation", quick, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    package, csrc = package_files(root), {path for path in (root / "csrc").rglob("*") if path.is_file()}
    documents = {"CHANGELOG.md", "CITATION.cff", "CMakeLists.txt", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    with tarfile.open(next(tree.glob("dist/*.tar.gz"))) as sdist:
        held = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    built_from = {path.relative_to(root).as_posix() for path in csrc} | {f"python/isoflop/{name}" for name in package}
    assert held == documents | built_from

    with zipfile.ZipFile(next(tree.glob("dist/*.whl"))) as wheel:
        held = {name.removeprefix("isoflop/") for name in wheel.namelist() if name.startswith("isoflop/")}
    extensions = {name for name in held if name.endswith(".so")}
    assert [name.partition(".")[0] for name in extensions] == ["_core"]
    assert held - extensions == package
    assert {"py.typed", "kernels/__init__.py", "examples/quickstart.toml"} <= package


def not_source(root: Path, folder: Path, names: list[str]) -> set[str]:
    made = {name for name in names if name == "__pycache__" or name.endswith((".so", "_cache"))}
    at_root = {".git", ".venv", "build", "dist", "site", "runs"} if folder == root else set()
    return made | at_root & set(names)


def package_files(root: Path) -> set[str]:
    """Files of the package in the source tree, as paths below ``isoflop/``: all but the results of studies."""
    package = root / "python" / "isoflop"
    own = [path.relative_to(package) for path in package.rglob("*")]
    linked = [path.relative_to(root) for link in ("kernels", "examples") for path in (root / link).rglob("*")]
    return {path.as_posix() for path in own + linked if path.suffix in KINDS and "results" not in path.parts}
