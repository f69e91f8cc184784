"""A run is known by its spec, and its record is read back or refused in words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.errors import SpecError, StoreError
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.runs.record import read_record

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
SPECS = st.dictionaries(st.text(), SCALARS | st.dictionaries(st.text(), SCALARS), max_size=6)


@given(SPECS, st.randoms())
def test_the_id_ignores_the_order_of_keys_and_survives_json(spec: dict[str, Any], random: Any) -> None:
    shuffled = list(spec.items())
    random.shuffle(shuffled)
    assert run_id(dict(shuffled)) == run_id(spec) == run_id(json.loads(json.dumps(spec)))


def test_the_id_is_the_same_in_every_release() -> None:
    assert run_id({"b": [1, 2.5, None], "a": {"z": True, "y": "ü"}}) == "a1aaeb917a7421d4"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, Path("x"), b"x"])
def test_specs_that_json_cannot_say_are_refused(value: Any) -> None:
    with pytest.raises(SpecError, match="plain JSON"):
        run_id({"learning_rate": value})


def test_a_record_reads_back_as_it_was_written(store: RunStore) -> None:
    spec, counts = {"seed": 1, "shape": {"d_model": 8}}, {"N": 100.0, "D": 1000.0, "C": 6e5}
    with Recorder(store, spec, counts=counts, environment={"torch": "2"}) as recorder:
        recorder.finish(loss=2.5, loss_se=0.01, tokens=1000)
    record = store.get(run_id(spec))
    assert record is not None
    assert (record.id, record.status, record.attempt, record.error) == (run_id(spec), "finished", 1, None)
    assert (record.spec, record.counts, record.environment) == (spec, counts, {"torch": "2"})
    assert record.result == {"loss": 2.5, "loss_se": 0.01, "tokens": 1000}
    assert record.seconds is not None
    assert record.seconds >= 0
    assert record.ended is not None
    assert record.started <= record.ended


def test_a_run_that_was_never_made_has_no_record(store: RunStore) -> None:
    assert store.get("0" * 16) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "id": 3}', b"\0" * 400])
def test_a_damaged_record_names_its_file(store: RunStore, damage: bytes) -> None:
    file = store.path / "runs" / "abc" / "run.json"
    file.parent.mkdir()
    file.write_bytes(damage)
    for read in (lambda: read_record(store.run("abc")), lambda: list(store), store.fit_data, store.summary):
        with pytest.raises(StoreError, match=rf"{file} is damaged: .*\n.*move its folder away"):
            read()


def test_a_newer_format_is_refused_whatever_else_it_holds(store: RunStore) -> None:
    file = store.path / "runs" / "abc" / "run.json"
    file.parent.mkdir()
    file.write_text('{"format": 2, "id": "abc", "status": "paused", "surprise": []}')
    with pytest.raises(StoreError, match=rf"{file} has format 2; this version reads up to 1\n.*upgrade isoflop"):
        store.get("abc")


def test_a_record_that_cannot_be_read_names_its_file(store: RunStore) -> None:
    (store.path / "runs" / "abc" / "run.json").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot read .*abc/run.json: Is a directory"):
        store.get("abc")
