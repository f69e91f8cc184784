"""What is kept of points is what was logged; files that are damaged, missing or of another time are named."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from isoflop.errors import StoreError
from isoflop.runs import Recorder, RunStore
from isoflop.runs.points import typed
from runs.making import files, finish

VALUES = (
    st.floats(allow_infinity=False)
    | st.integers(-(2**60), 2**60).map(float)
    | st.floats(width=32, allow_infinity=False)
)


@given(st.lists(VALUES, max_size=20))
def test_numbers_other_than_losses_are_kept_to_the_last_bit(values: list[float]) -> None:
    kept = typed("lr", np.array(values, float)).to_numpy(zero_copy_only=False).astype(float)
    np.testing.assert_array_equal(kept, np.array(values, float))


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("step", [1.0, 2.0, 3e15], pa.int64()),
        ("step", [0.5, 2.0], pa.float32()),
        ("tokens", [64.0, math.nan], pa.int64()),
        ("flops", [1e20, 2.5e20], pa.float64()),
        ("grad_norm", [0.5, math.nan], pa.float32()),
        ("seconds", [1763818234.123, 1763818234.5], pa.float64()),
        ("val_loss", [2.1, 3.0], pa.float32()),
        ("loss", [2.0, 3.0], pa.float32()),
        ("loss", [1e300, 3.0], pa.float64()),
        ("loss", [], pa.float32()),
    ],
)
def test_columns_are_as_narrow_as_what_they_hold(name: str, values: list[float], kind: pa.DataType) -> None:
    column = typed(name, np.array(values, float))
    assert column.type == kind
    assert column.null_count == np.isnan(values).sum()
    np.testing.assert_allclose(column.to_numpy(zero_copy_only=False).astype(float), values, rtol=6e-8)


def test_points_are_delta_and_byte_stream_split_under_zstd(store: RunStore) -> None:
    finish(store, 0, n_points=50)
    store.compact()
    [file] = store.compacted.folder.path.glob("points-*")
    group = parquet.ParquetFile(file).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in columns["step"].encodings
    assert "DELTA_BINARY_PACKED" in columns["tokens"].encodings
    assert "BYTE_STREAM_SPLIT" in columns["loss"].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_runs_of_other_kinds_share_a_table(store: RunStore) -> None:
    for seed, width in enumerate((8, 0.5, "wide", True, None, [1, 2])):
        with Recorder(store, {"width": width, "seed": seed}) as recorder:
            recorder.finish(loss=1.0)
        before = {row["spec.seed"]: row["spec.width"] for row in store.table().to_pylist()}
        store.compact()
        assert {row["spec.seed"]: row["spec.width"] for row in store.table().to_pylist()} == before
    assert before == {0: "8", 1: "0.5", 2: "wide", 3: "true", 4: None, 5: "[1, 2]"}


@pytest.mark.parametrize("kind", ["runs", "points"])
@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_truncated_file_is_named(store: RunStore, kind: str, keep: float) -> None:
    run = finish(store, 0, n_points=50)
    store.compact()
    [file] = store.compacted.folder.path.glob(f"{kind}-*")
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    for read in (list, RunStore.table, lambda opened: opened.points_of(run), RunStore.summary):
        with pytest.raises(StoreError, match=rf"{file} is damaged: .*\n.*from a copy"):
            read(RunStore(store.path))


def test_a_missing_file_is_named(store: RunStore) -> None:
    finish(store, 0)
    store.compact()
    [file] = store.compacted.folder.path.glob("points-*")
    file.unlink()
    with pytest.raises(StoreError, match=rf"cannot read {file}: "):
        list(RunStore(store.path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"has format 2; this version reads up to 1\n.*upgrade isoflop"),
        ({"format": 2, "parts": "elsewhere"}, r"has format 2; this version reads up to 1"),
        ({"parts": 3}, r"is damaged: .*\n.*from a copy"),
        ({"format": "one"}, r"is damaged: .*\n.*from a copy"),
    ],
)
def test_a_manifest_of_another_time_is_refused_in_words(
    store: RunStore, change: dict[str, object], message: str
) -> None:
    finish(store, 0)
    store.compact()
    manifest = store.compacted.folder.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    before = files(store.path)
    for read in (list, RunStore.table, RunStore.compact):
        with pytest.raises(StoreError, match=rf"{manifest} {message}"):
            read(RunStore(store.path))
    assert files(store.path) == before


@pytest.mark.parametrize("name", ["../../secret.parquet", "/etc/passwd", "runs-1-ab.parquet/../../x", "points.parquet"])
def test_a_manifest_cannot_name_a_file_elsewhere(store: RunStore, name: str) -> None:
    finish(store, 0)
    store.compact()
    manifest = store.compacted.folder.path / "manifest.json"
    told = json.loads(manifest.read_text())
    told["parts"][0]["points"]["name"] = name
    manifest.write_text(json.dumps(told))
    with pytest.raises(StoreError, match="which is no file of a store"):
        list(RunStore(store.path))
