"""A plugin of pytest: the tests of the native ops on the instruction sets that this machine lacks, emulated.

`make emulated` builds them, and names this. Of tests by instruction set those on such a set are run; those that take
the widest there is, without naming it, take the widest that is emulated.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

BUILT = Path(__file__).resolve().parents[2] / "build" / "emulated" / "isoflop"


def of_this_machine() -> list[str]:
    """The instruction sets that the installed library runs here."""
    asked = "from isoflop import _core; print(*_core.usable_isas())"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()


def load() -> list[str]:
    """Make the emulated library the one that `isoflop` imports; the instruction sets that it runs."""
    [file] = BUILT.glob("_core.*.so")
    spec = spec_from_file_location("isoflop._core", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert sys.modules.setdefault("isoflop._core", module) is module, "isoflop is imported already"
    usable: list[str] = module.usable_isas()
    return usable


NATIVE = of_this_machine()
EMULATED = [isa for isa in load() if isa not in NATIVE]


def pytest_report_header() -> str:
    return f"emulated instruction sets: {', '.join(EMULATED) or 'none: this machine has them all'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not concerns(item)]
    items[:] = [item for item in items if concerns(item)]
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not EMULATED:
        session.exitstatus = pytest.ExitCode.OK


def concerns(item: pytest.Item) -> bool:
    """Whether a test runs ops that are emulated: one of these sets, or all of them, or the widest."""
    values = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    named = [value for value in values if value in (*NATIVE, *EMULATED, "reference")]
    return bool(EMULATED) and all(value in EMULATED for value in named)
