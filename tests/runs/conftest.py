"""A store in a new folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from isoflop.runs import RunStore


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What recorders keep on this machine is kept by each test for itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    return tmp_path / "user-cache" / "isoflop"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store")


@pytest.fixture(params=["local", "memory", "s3", "gs", "az"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a folder that is not there yet, on every kind of store."""
    if request.param == "local":
        return str(tmp_path / "anywhere")
    if request.param == "memory":
        pytest.importorskip("fsspec")
        return f"memory://{uuid.uuid4().hex}/store"
    return f"{request.getfixturevalue(request.param)}/deep/store"
