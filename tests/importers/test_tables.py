"""CSV, Parquet and JSON lines become runs by a map; what their numbers mean must be said."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from isoflop.errors import SourceError, SpecError
from isoflop.importers import import_runs
from isoflop.runs import RunStore, verify

SAID: dict[str, Any] = {"loss_unit": "nats/token", "n_convention": "non-embedding"}
MAP = {"N": "params", "D": "tokens", "loss": "final loss"}
ROWS = {"params": [10**6, 10**7, 10**8], "tokens": [10**8, 10**9, 2 * 10**9], "final loss": [4.0, 3.5, 3.0]}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store")


def written(folder: Path, ending: str, columns: dict[str, list[Any]] = ROWS) -> Path:
    table, file = pa.table(columns), folder / f"points.{ending}"
    if ending == "csv":
        csv.write_csv(table, file)
    elif ending == "parquet":
        parquet.write_table(table, file)
    else:
        file.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))
    return file


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_row_is_a_run_where_no_step_is_mapped(ending: str, tmp_path: Path, store: RunStore) -> None:
    done = import_runs(store, written(tmp_path, ending), MAP, **SAID)
    assert (done.runs, done.problems) == (3, [])
    data = store.fit_data()
    assert sorted(zip(*(data.columns[name].tolist() for name in "NDCL"), strict=True)) == [
        (1e6, 1e8, 6e14, 4.0), (1e7, 1e9, 6e16, 3.5), (1e8, 2e9, 1.2e18, 3.0)
    ]  # fmt: skip
    assert not data.excluded
    assert not verify(store)


def test_importing_again_brings_nothing(tmp_path: Path, store: RunStore) -> None:
    file = written(tmp_path, "csv")
    import_runs(store, file, MAP, **SAID)
    again = import_runs(store, file, MAP, **SAID)
    assert (again.runs, again.known) == (0, 3)
    assert store.summary() == {"finished": 3}


def test_rows_with_a_step_are_points_in_its_order_and_the_last_held_out_loss_is_the_result(
    tmp_path: Path, store: RunStore
) -> None:
    columns = {
        "who": ["b", "a", "a", "b", "a"], "it": [20, 20, 10, 10, 30], "n": [2.0, 1, 1, 2, 1],
        "seen": [40, 20, 10, 20, 30], "train": [2.2, 1.2, 1.4, 2.4, 1.1],
        "val": [2.3, 1.3, None, None, None],
    }  # fmt: skip
    mapped = {"run": "who", "step": "it", "N": "n", "tokens": "seen", "loss": "train", "val_loss": "val"}
    assert import_runs(store, written(tmp_path, "parquet", columns), mapped, **SAID).points == 5
    runs = {record.spec["run"]: record for record in store}
    assert runs["a"].result == {"loss": 1.3, "tokens": 20.0}
    points = store.points_of(runs["a"].id)
    assert points["step"].tolist() == [10, 20, 30]
    assert points["loss"].tolist() == pytest.approx([1.4, 1.2, 1.1])
    assert [math.isnan(loss) for loss in points["val_loss"]] == [True, False, True]
    assert runs["b"].counts == {"N": 2.0, "D": 40.0, "C": 480.0}


def test_columns_can_be_arithmetic_words_and_fields_of_the_spec(tmp_path: Path, store: RunStore) -> None:
    columns = {"Model Size": [1e6], "FLOP": [6e14], "loss": [4.0], "shape.d": [64], "shape.deep.h": [4]}
    mapped = {
        "N": "Model Size", "C": "FLOP", "D": "C / (6 * N)", "loss": "loss - 0.5 ** 1",
        "spec.optimizer": "'adamw'", "spec.batch_tokens": "2 * 512", "spec.shape.*": "shape.*",
    }  # fmt: skip
    with pytest.raises(SpecError, match="cannot be the name"):
        import_runs(store, written(tmp_path, "csv", columns), mapped, **SAID)
    mapped["spec.*"] = mapped.pop("spec.shape.*")
    import_runs(store, written(tmp_path, "csv", columns), mapped, name="paper", **SAID)
    (record,) = store
    assert record.counts == {"N": 1e6, "C": 6e14, "D": 1e8}
    assert record.result == {"loss": 3.5, "tokens": 1e8}
    expected = {"imported": "paper", "run": 0, "optimizer": "adamw", "batch_tokens": 1024.0, "d": 64, "deep": {"h": 4}}
    assert record.spec == expected
    assert record.environment["n_convention"] == "non-embedding"


@pytest.mark.parametrize(
    ("unit", "bytes_per_token", "factor"),
    [("nats/token", None, 1.0), ("bits/token", None, math.log(2)), ("nats/byte", 4.0, 4.0),
     ("bits/byte", 4.5, 4.5 * math.log(2))],
)  # fmt: skip
def test_losses_of_every_unit_become_nats_a_token(
    unit: str, bytes_per_token: float | None, factor: float, tmp_path: Path, store: RunStore
) -> None:
    file = written(tmp_path, "csv")
    import_runs(store, file, MAP, n_convention="non-embedding", loss_unit=unit, bytes_per_token=bytes_per_token)
    assert max(store.fit_data().columns["L"]) == pytest.approx(4.0 * factor, rel=1e-15)
    assert {record.environment["loss_unit"] for record in store} == {unit}


def test_total_parameters_never_pass_for_N(tmp_path: Path, store: RunStore) -> None:
    import_runs(store, written(tmp_path, "csv"), MAP, loss_unit="nats/token", n_convention="total")
    assert "n_convention='total'" in store.fit_data().excluded[0]
    total = store.fit_data(n_convention="total")
    assert sorted(total.columns["N"]) == [1e6, 1e7, 1e8]
    assert sorted(total.columns["C"]) == [6e14, 6e16, 1.2e18]
    assert total.n_convention == "total"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"loss_unit": None}, "unit of the losses is not said"),
        ({"loss_unit": "bits"}, "unknown unit of losses 'bits'"),
        ({"loss_unit": "bits/byte"}, "need bytes_per_token"),
        ({"bytes_per_token": 4.0}, "take no bytes_per_token"),
        ({"loss_unit": "bits/byte", "bytes_per_token": -1.0}, "must be a positive number"),
        ({"n_convention": None}, "which parameters N counts is not said"),
        ({"n_convention": "all"}, "unknown convention of N 'all'"),
        ({"columns": {"N": "params", "D": "tokens"}}, "no column is mapped to the loss"),
        ({"columns": {**MAP, "n_params": "params"}, "n_convention": "total"}, "has a column of its own"),
        ({"columns": {**MAP, "D": "token"}}, "no column or field 'token'"),
        ({"columns": {**MAP, "D": "__import__('os').system('true')"}}, "is no arithmetic"),
        ({"columns": {**MAP, "D": "tokens.__class__"}}, "no column or field"),
        ({"columns": {**MAP, "D": "("}}, "no column or field"),
        ({"columns": {**MAP, "../x": "tokens"}}, "cannot be the name"),
        ({"columns": {**MAP, "id": "tokens"}}, "cannot be the name"),
        ({"format": "excel"}, "unknown format 'excel'"),
        ({"where": "nowhere > 1"}, "no run has a field 'nowhere'"),
    ],
)  # fmt: skip
def test_what_is_not_said_or_not_there_is_refused(
    said: dict[str, Any], message: str, tmp_path: Path, store: RunStore
) -> None:
    options = {"columns": MAP, **SAID, **said}
    with pytest.raises((SpecError, SourceError, OSError), match=message):
        import_runs(store, written(tmp_path, "csv"), options.pop("columns"), **options)
    assert store.ids() == []


def test_rows_that_are_no_run_are_named_and_the_others_come(tmp_path: Path, store: RunStore) -> None:
    columns = {
        "params": [1e6, -1.0, 1e6, 1e6, None], "tokens": [1e8, 1e8, 1e8, None, 1e8],
        "final loss": [3.0, 3.0, math.nan, 3.0, 3.0],
    }  # fmt: skip
    done = import_runs(store, written(tmp_path, "parquet", columns), MAP, **SAID)
    assert done.problems == [
        "run 1: N = -1.0 must be a positive number",
        "run 3: D is missing",
        "run 4: N is missing",
    ]
    assert store.summary() == {"finished": 1, "diverged": 1}


def test_runs_that_disagree_with_themselves_are_named(tmp_path: Path, store: RunStore) -> None:
    columns = {"who": ["a", "a", None, "b"], "it": [1, 2, 1, 1], "n": [1.0, 2, 3, 4], "l": [2.0, 1, 1, 1]}
    mapped = {"run": "who", "step": "it", "N": "n", "loss": "l"}
    done = import_runs(store, written(tmp_path, "parquet", columns), mapped, **SAID)
    assert done.problems == [
        "run a: N is not the same on all of its rows",
        "run None: a name of 1 to 4096 characters is asked for",
    ]
    del mapped["step"]
    done = import_runs(store, written(tmp_path, "parquet", columns), mapped, name="again", **SAID)
    assert done.problems[0] == "run a: 2 rows are of it; map step, if they are its points"


def test_a_condition_picks_rows_of_the_file(tmp_path: Path, store: RunStore) -> None:
    import_runs(store, written(tmp_path, "csv"), MAP, where="params >= 1e7 and tokens < 2e9", **SAID)
    assert store.fit_data().columns["N"].tolist() == [1e7]


def test_a_file_of_another_version_of_a_run_does_not_replace_it(tmp_path: Path, store: RunStore) -> None:
    import_runs(store, written(tmp_path, "csv"), MAP, **SAID)
    done = import_runs(store, written(tmp_path, "csv", {**ROWS, "final loss": [4.0, 3.5, 2.0]}), MAP, **SAID)
    assert (done.runs, done.known, len(done.problems)) == (0, 2, 1)
    assert "which stays" in done.problems[0]
