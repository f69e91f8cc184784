"""What a recorder costs its trainer, which numbers it takes, and which processes of a job record."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import RecorderWarning, SpecError
from isoflop.runs import Recorder, RunStore


class OnDevice:
    """A number on a device: it can be copied there at once, and is waited for by ``item``."""

    device = "cuda:0"
    waits = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def detach(self) -> OnDevice:
        return self

    def clone(self) -> OnDevice:
        return OnDevice(self.value)

    def item(self) -> float:
        OnDevice.waits += 1
        return self.value


def record(store: RunStore, **values: object) -> str:
    with Recorder(store, {"seed": 0}) as recorder:
        for step in range(3):
            recorder.log(step, loss=1.0, **values)
        recorder.finish(loss=1.0, **values)
    return recorder.id


def test_a_device_is_waited_for_when_points_are_written_and_only_then(store: RunStore) -> None:
    OnDevice.waits = 0
    loss = OnDevice(0.0)
    with Recorder(store, {"seed": 0}) as recorder:
        for step in range(1, 100):
            loss.value = 1 / step  # the next step overwrites it
            recorder.log(step, loss=loss, lr=0.1)
            assert OnDevice.waits == 0
        recorder.log(100, loss=loss, lr=0.1)
        assert OnDevice.waits == 100
        recorder.finish(loss=OnDevice(0.5))
    points = store.points_of(recorder.id)
    np.testing.assert_array_equal(points["loss"], 1 / np.array([*range(1, 100), 99]))
    assert store.find(recorder.id).result == {"loss": 0.5}


def test_tensors_of_torch_are_numbers_of_their_own_moment(store: RunStore) -> None:
    torch = pytest.importorskip("torch")
    total = torch.zeros((), requires_grad=True)
    with Recorder(store, {"seed": 0}) as recorder:
        for step in range(1, 4):
            with torch.no_grad():
                total += 1.5
            recorder.log(step, loss=total * 2, total=total, whole=torch.tensor(step), numpy=np.array(0.5))
        recorder.finish(loss=total)
    points = store.points_of(recorder.id)
    assert points["total"].tolist() == [1.5, 3.0, 4.5]
    assert points["loss"].tolist() == [3.0, 6.0, 9.0]
    assert points["whole"].tolist() == [1, 2, 3]
    assert points["numpy"].tolist() == [0.5] * 3


@pytest.mark.parametrize("value", ["high", [1.0, 2.0], np.zeros(2), object()])
def test_what_is_no_number_is_left_out_with_a_warning_and_the_trainer_goes_on(store: RunStore, value: object) -> None:
    with pytest.warns(RecorderWarning, match="grad = .* is no number") as caught:
        run = record(store, grad=value)
    assert len(caught) == 1
    assert list(store.points_of(run)) == ["step", "loss"]
    assert store.summary() == {"finished": 1}
    strict = Recorder(store, {"seed": 1}, strict=True).__enter__()
    with pytest.raises(SpecError, match="is no number"):
        strict.finish(loss=value)
    strict.__exit__(None, None, None)


def test_a_number_that_takes_the_name_of_the_runs_is_left_out_with_a_warning(store: RunStore) -> None:
    with pytest.warns(RecorderWarning, match="a number cannot be called 'run'"):
        run = record(store, run=2.0)
    assert list(store.points_of(run)) == ["step", "loss"]


@pytest.mark.parametrize("environment", [{"RANK": "3"}, {}])
def test_other_ranks_than_0_do_nothing(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Recorder(store, {"seed": 0}, rank=None if environment else 1) as recorder:
        recorder.describe(engine="some")
        for step in range(300):
            recorder.log(step, loss=1.0)
        recorder.flush()
        recorder.sync()
        recorder.rewind(1)
        recorder.finish(loss=1.0)
    assert list(store) == []
    assert store.folders() == []


def test_rank_0_records_beside_the_others(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with Recorder(store, {"seed": 0}) as recorder:
            recorder.log(1, loss=1.0)
            recorder.finish(loss=1.0)
    assert store.summary() == {"finished": 1}


def test_a_recorder_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from isoflop.runs import Recorder, RunStore\n"
        "with Recorder(RunStore(sys.argv[1]), {'seed': 0}) as recorder:\n"
        "    recorder.log(1, loss=1.0)\n"
        "    recorder.finish(loss=1.0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "store")], check=True)
    assert RunStore(tmp_path / "store").summary() == {"finished": 1}


def test_a_call_costs_microseconds_its_flushes_included(store: RunStore) -> None:
    """The bench says how few; CPU seconds of this process, so that who else is on the machine counts little."""
    n = 20_000
    with Recorder(store, {"seed": 0}) as recorder:
        began = time.process_time()
        for step in range(n):
            recorder.log(step, tokens=step * 64, loss=2.5, lr=1e-3)
        taken = time.process_time() - began
        recorder.finish(loss=1.0)
    assert taken / n < 20e-6
