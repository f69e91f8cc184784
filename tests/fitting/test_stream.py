from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
from pyarrow import parquet

from fitting.zoo import design, truth
from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting import LAD, Batches, Fit, Huber, LeastSquares, Quantile, fit, memory
from isoflop.fitting.memory import lend, take_back
from isoflop.laws import LAWS

TRUTH = {"N_c": 6.5e13, "alpha_N": 0.077, "S_c": 2100.0, "alpha_S": 0.76}


def curves(runs: int = 30, steps: int = 700, noise: float = 0.01) -> dict[str, np.ndarray]:
    """Learning curves of L(N, S_min), logged every ten steps, one after another."""
    rng = np.random.default_rng(3)
    n = np.repeat(np.geomspace(1e6, 1e9, runs), steps)
    s = np.tile(10.0 * np.arange(1, steps + 1), runs)
    own = np.repeat(rng.standard_normal(runs), steps)
    loss = LAWS["kaplan-steps"].predict(TRUTH, N=n, S_min=s)
    loss = loss * np.exp(noise * (0.5 * own + rng.standard_normal(n.size)))
    return {"run": np.repeat(np.arange(runs), steps), "N": n, "S_min": s, "L": loss}


def write(path: Path, columns: dict[str, Any], group: int = 3000) -> Path:
    parquet.write_table(pa.table(columns), path, row_group_size=group)
    return path


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    return curves()


@pytest.fixture(scope="module")
def in_memory(columns: dict[str, np.ndarray]) -> Fit:
    return fit("kaplan-steps", columns)


@pytest.fixture(scope="module")
def store(columns: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("store") / "curves.parquet", columns)


def same(found: Fit, expected: Fit) -> None:
    assert found.objective == pytest.approx(expected.objective, rel=1e-9)
    assert found.params == pytest.approx(expected.params, rel=1e-6)
    assert found.standard_errors == pytest.approx(expected.standard_errors, rel=1e-5)


def mappings(columns: dict[str, np.ndarray]) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    return lambda: ({k: v[i : i + 999] for k, v in columns.items()} for i in range(0, len(columns["L"]), 999))


@pytest.mark.parametrize("kind", ["file", "str", "folder", "files", "dataset", "mappings", "record batches", "tables"])
def test_every_kind_of_store_gives_the_fit_of_its_columns(
    kind: str, columns: dict[str, np.ndarray], store: Path, in_memory: Fit, tmp_path: Path
) -> None:
    half = len(columns["L"]) // 2
    first = write(tmp_path / "a.parquet", {k: v[:half] for k, v in columns.items()})
    second = write(tmp_path / "b.parquet", {k: v[half:] for k, v in columns.items()})
    table = pa.table(columns)
    source: Any = {
        "file": store,
        "str": str(store),
        "folder": tmp_path,
        "files": [first, str(second)],
        "dataset": pyarrow.dataset.dataset(tmp_path),
        "mappings": mappings(columns),
        "record batches": lambda: table.to_batches(max_chunksize=5000),
        "tables": Batches([table.slice(0, 7000), table.slice(7000)]),
    }[kind]
    found = fit("kaplan-steps", source)
    same(found, in_memory)
    assert found.n_runs == found.certificate.points == len(columns["L"])
    assert found.certificate.passes == 1
    assert found.certificate.gradient <= 1e-8


def test_answer_is_the_same_to_the_bit_on_any_number_of_cores(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fit("kaplan-steps", store)
    for cores in (1, 5):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        found = fit("kaplan-steps", store)
        assert found.params == expected.params
        assert found.objective == expected.objective


def test_fits_beside_each_other_share_no_memory(columns: dict[str, np.ndarray], store: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.parquet", {**columns, "L": 2.0 * columns["L"]})
    alone = {path: fit("kaplan-steps", path).params for path in (store, other)}
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda path: (path, fit("kaplan-steps", path).params), 4 * [store, other]))
    assert all(params == alone[path] for path, params in beside)


def test_memory_kept_for_the_next_fit_is_lent_once_and_bounded() -> None:
    sizes = [2**21, 2**22, 3 * 2**21, 2**22, 2**24]
    for size in sizes:
        take_back(np.empty(size))
    again = [lend(2**22), lend(2**22)]
    assert not np.shares_memory(*again)
    assert sum(size * len(some) for size, some in memory._idle.items()) <= 2**23


@pytest.mark.parametrize("objective", [LeastSquares(log=False), Huber(5e-3), Huber(0.02, log=False)], ids=str)
def test_objectives_are_those_of_fits_in_memory(
    objective: LeastSquares | Huber, columns: dict[str, np.ndarray], store: Path
) -> None:
    found = fit("kaplan-steps", store, objective=objective)
    same(found, fit("kaplan-steps", columns, objective=objective))
    assert found.certificate.passes == 1 if isinstance(objective, LeastSquares) else 2 < found.certificate.passes < 10


@pytest.mark.parametrize("objective", [LAD(), Quantile(0.1)], ids=str)
def test_sums_without_curvature_are_refused(objective: LAD | Quantile, store: Path) -> None:
    with pytest.raises(FitError, match="cannot be minimised in passes"):
        fit("kaplan-steps", store, objective=objective)


def test_columns_of_weights_and_noise_are_those_of_fits_in_memory(columns: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    size = len(columns["L"])
    given = {**columns, "w": rng.integers(0, 3, size).astype(np.int8), "noise": rng.uniform(0.005, 0.02, size)}
    found = fit("kaplan-steps", mappings(given), weights="w", sigma="noise")
    expected = fit("kaplan-steps", given, weights="w", sigma="noise")
    same(found, expected)
    assert found.residual_rms == pytest.approx(expected.residual_rms)


def test_restrictions_are_those_of_fits_in_memory(columns: dict[str, np.ndarray], store: Path) -> None:
    held: Any = {"fix": {"alpha_N": 0.077}, "bounds": {"alpha_S": (0.1, 0.7)}}
    found, expected = fit("kaplan-steps", store, **held), fit("kaplan-steps", columns, **held)
    assert found.params == pytest.approx(expected.params, rel=1e-6)
    assert found.certificate.at_bounds == expected.certificate.at_bounds == ("alpha_S",)
    assert found.standard_errors == pytest.approx(expected.standard_errors, rel=1e-5, nan_ok=True)


def test_types_and_names_of_columns_are_the_store_s_own(columns: dict[str, np.ndarray], tmp_path: Path) -> None:
    stored = {
        "params": columns["N"].astype(np.int64),
        "step": columns["S_min"].astype(np.int32),
        "loss": columns["L"].astype(np.float32),
    }
    path = write(tmp_path / "own.parquet", stored)
    found = fit("kaplan-steps", Batches(path, columns={"N": "params", "S_min": "step", "L": "loss"}))
    wide = {"N": stored["params"], "S_min": stored["step"], "L": stored["loss"].astype(np.float64)}
    same(found, fit("kaplan-steps", wide, weights=np.ones(len(columns["L"]))))


def test_weights_by_run_give_a_long_run_no_more_than_a_short_one(
    columns: dict[str, np.ndarray], tmp_path: Path
) -> None:
    rows = np.flatnonzero((columns["run"] % 3 != 0) | (columns["S_min"] % 40 == 0))
    uneven = {name: values[rows] for name, values in columns.items()}
    named = {**uneven, "run": np.array([f"run {i}" for i in uneven["run"]])}
    points = np.bincount(uneven["run"])[uneven["run"]]
    expected = fit("kaplan-steps", uneven, weights=1.0 / points)
    for given in (uneven, named):
        found = fit("kaplan-steps", write(tmp_path / "uneven.parquet", given), weights="run")
        assert found.params == pytest.approx(expected.params, rel=1e-6)
        assert found.objective == pytest.approx(expected.objective, rel=1e-9)
        assert fit("kaplan-steps", given, weights="run").params == pytest.approx(expected.params, rel=1e-6)


def test_errors_between_runs_do_not_shrink_when_each_point_is_logged_twice(columns: dict[str, np.ndarray]) -> None:
    twice = {name: np.repeat(values, 2) for name, values in columns.items()}
    once, again = (fit("kaplan-steps", mappings(given), weights="run") for given in (columns, twice))
    assert again.standard_errors == pytest.approx(once.standard_errors, rel=1e-6)
    alone, doubled = (fit("kaplan-steps", mappings(given)) for given in (columns, twice))
    for name, error in alone.standard_errors.items():
        assert doubled.standard_errors[name] == pytest.approx(error / np.sqrt(2), rel=1e-3)
    # what the points of a run share looks like a change of N
    assert once.standard_errors["alpha_N"] > 5 * alone.standard_errors["alpha_N"]


def test_errors_between_runs_are_the_sandwich_of_their_gradients(columns: dict[str, np.ndarray]) -> None:
    found = fit("kaplan-steps", mappings(columns), weights="run")
    centre = np.log(np.array([found.params[name] for name in found.law.names]))
    x = {name: columns[name] for name in ("N", "S_min")}

    def log_residuals(q: np.ndarray) -> np.ndarray:
        params = dict(zip(found.law.names, np.exp(q), strict=True))
        return np.log(found.law.predict(params, **x) / columns["L"])

    step = 1e-5 * np.eye(4)
    jacobian = np.stack([(log_residuals(centre + e) - log_residuals(centre - e)) / 2e-5 for e in step])
    scores = (jacobian * log_residuals(centre)).reshape(4, 30, 700).mean(axis=2)
    bread = np.linalg.inv(np.einsum("ai,bi->ab", jacobian, jacobian) / 700)
    errors = np.sqrt(np.diag(bread @ scores @ scores.T @ bread) * 30 / 29) * np.exp(centre)
    assert list(found.standard_errors.values()) == pytest.approx(errors, rel=0.02)


def test_decimated_curves_keep_as_many_points_a_decade_as_asked(columns: dict[str, np.ndarray]) -> None:
    found = fit("kaplan-steps", Batches(mappings(columns), decimate={"S_min": 20}))
    assert found.n_runs < 0.1 * len(columns["L"])
    for name, value in TRUTH.items():
        assert abs(found.params[name] - value) < 8 * found.standard_errors[name]
    kept = np.concatenate([
        chunk["S_min"]
        for part in Batches([{k: v[:700] for k, v in columns.items()}], decimate={"S_min": 20}).parts(["S_min"])
        for chunk in part.read()
    ])  # fmt: skip
    cells = np.floor(20 * np.log10(10.0 * np.arange(1, 701)))
    assert kept.tolist() == [10.0 * (1 + i) for i in range(700) if i == 0 or cells[i] != cells[i - 1]]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize("name", ["S_min", "L"])
def test_bad_value_is_named_by_file_row_group_and_row(
    name: str, value: float, columns: dict[str, np.ndarray], tmp_path: Path
) -> None:
    broken = {k: v.copy() for k, v in columns.items()}
    broken[name][7011] = broken[name][9500] = value
    path = write(tmp_path / "broken.parquet", broken)
    with pytest.raises(FitError, match=rf"broken.parquet, row group 2, row 1011: {name} = "):
        fit("kaplan-steps", path)
    with pytest.raises(FitError, match=rf"batch 7, row 18: {name} = "):
        fit("kaplan-steps", mappings(broken))


def test_outputs_of_either_sign_are_summed_as_they_are_and_have_no_logarithm() -> None:
    law = LAWS["tao"]
    columns = design(law)
    noise = 1e-3 * np.random.default_rng(2).standard_normal(len(columns["H"]))
    columns["L_u"] = law.predict(truth(law), **columns) + noise
    assert columns["L_u"].max() < 0.0
    found = fit("tao", Batches([columns]), objective=LeastSquares(log=False))
    residuals = found.predict(**{name: columns[name] for name in law.inputs}) - columns["L_u"]
    assert found.objective == pytest.approx(0.5 * float(residuals @ residuals), rel=1e-9)
    assert found.objective <= 0.5 * float(noise @ noise)
    with pytest.raises(FitError, match=r"batch 0, row 0: L_u = .* every L_u must be positive and finite"):
        fit("tao", Batches([columns]))


def test_missing_number_and_bad_weight_are_named_by_row(columns: dict[str, np.ndarray]) -> None:
    table = pa.table({**columns, "L": pa.array([None if i == 4321 else v for i, v in enumerate(columns["L"])])})
    with pytest.raises(FitError, match="batch 0, row 4321: L = nan"):
        fit("kaplan-steps", lambda: [table])
    weights = np.ones(len(columns["L"]))
    weights[1500] = -1.0
    with pytest.raises(FitError, match="batch 1, row 501: w = -1; every w must be finite and not negative"):
        fit("kaplan-steps", mappings({**columns, "w": weights}), weights="w")


def test_what_cannot_be_read_is_refused(columns: dict[str, np.ndarray], store: Path, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("loss")
    (tmp_path / "empty").mkdir()
    refused: list[tuple[Any, str]] = [
        (Batches, "can be read once"),
        (tmp_path / "none.parquet", "there is no"),
        (tmp_path / "empty", "no Parquet files"),
        (tmp_path / "text.parquet", "cannot read .* as Parquet"),
        (list, "has no points"),
        (lambda: [{"N": columns["N"], "S_min": columns["S_min"]}], "batch 0 has no column 'L'"),
        (lambda: [{**columns, "L": columns["L"][1:]}], "batch 0: columns differ in length"),
        (lambda: [{**columns, "L": columns["L"].astype(str).astype(object)[:5]}], "differ in length"),
        (Batches(store, columns={"L": "lose"}), "no column 'lose'"),
    ]
    for source, text in refused:
        with pytest.raises(FitError, match=text):
            fit("kaplan-steps", Batches(iter([columns])) if source is Batches else source)
    with pytest.raises(FitError, match="points a decade must be positive"):
        Batches(store, decimate={"S_min": 0})
    with pytest.raises(FitError, match="weights of a store must name a column"):
        fit("kaplan-steps", store, weights=np.ones(3))
    words = {**columns, "N": np.array(["large"] * len(columns["L"]))}
    with pytest.raises(FitError, match="column 'N' is not numeric"):
        fit("kaplan-steps", lambda: [words])
    with pytest.raises(NotIdentifiable, match="1 distinct model size"):
        fit("kaplan-steps", lambda: [{k: v[:700] for k, v in columns.items()}])


def test_clusters_of_a_store_are_refused_rather_than_left_aside(store: Path) -> None:
    with pytest.raises(FitError, match="its points have no clusters") as refused:
        fit("kaplan-steps", store, cluster="run")
    assert 'weights="run"' in str(refused.value)


def test_one_table_is_a_store_of_one_batch(columns: dict[str, np.ndarray], in_memory: Fit) -> None:
    renamed = {"step" if name == "S_min" else name: values for name, values in columns.items()}
    for source in (pa.table(renamed), renamed):
        same(fit("kaplan-steps", Batches(source, columns={"S_min": "step"})), in_memory)


def test_what_is_no_store_says_how_it_is_read(columns: dict[str, np.ndarray], store: Path, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("N,S_min,L\n1e6,100,3\n")
    for data, hint in (
        (tmp_path / "runs.csv", "read_file"),
        (mappings(columns)(), "give the function that makes it"),
        (Batches(store, columns={"L": "zz"}), "known: L, N, S_min, run; Batches(source"),
    ):
        with pytest.raises(FitError) as refused:
            fit("kaplan-steps", data)
        assert hint in refused.value.hint


def test_streamed_fit_prints_saves_and_draws_from_its_covariance(store: Path, tmp_path: Path) -> None:
    found = fit("kaplan-steps", store)
    assert "21,000 points in 1 pass, " in str(found)
    found.save(tmp_path / "fit.json")
    read = Fit.load(tmp_path / "fit.json")
    assert read.certificate == found.certificate
    assert str(read) == str(found)
    drawn = read.bootstrap(4000)
    for name, column in zip(drawn.names, drawn.draws.T, strict=True):
        assert np.std(column) == pytest.approx(found.standard_errors[name], rel=0.1)


PEAK = """
import sys
from pathlib import Path
from isoflop.fitting import fit
found = fit("kaplan-steps", sys.argv[1], weights=sys.argv[2] or None)
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(found.n_runs, int(peak) // 1024)
"""


@pytest.mark.parametrize("weights", ["", "run"])
def test_memory_does_not_grow_with_the_number_of_points(weights: str, tmp_path: Path) -> None:
    peaks = []
    for runs in (50, 500):
        given = {name: values.astype(np.float32) for name, values in curves(runs, 12_000).items()}
        path = write(tmp_path / f"{runs}.parquet", given, group=2**18)
        command = [sys.executable, "-c", PEAK, str(path), weights]
        points, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert int(points) == runs * 12_000
        peaks.append(int(peak))
    # 6 million points are 69 MiB as they are stored and 137 MiB as doubles
    assert peaks[1] - peaks[0] < 40
    assert peaks[1] < 700
