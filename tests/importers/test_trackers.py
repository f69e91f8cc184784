"""What the trackers themselves write comes back as it was logged."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import SourceError
from isoflop.importers import import_runs
from isoflop.runs import RunStore

STEPS = range(10, 60, 10)
LOSSES = [4.0 - 0.01 * step for step in STEPS]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store")


def wrote(folder: Path, program: str) -> None:
    """A program of its own, since trackers leave threads and servers, and warn of their own matters."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def check(store: RunStore, name: str, *, seen: bool = True, **spec: Any) -> None:
    (record,) = (record for record in store if record.spec["run"] == name)
    assert record.status == "finished"
    assert record.counts == {"N": 1e6, "D": 500.0, "C": 3e9} if seen else {"N": 1e6}
    assert record.result is not None
    assert record.result["loss"] == pytest.approx(LOSSES[-1], rel=1e-6)
    points = store.points_of(record.id)
    assert points["step"].tolist() == list(STEPS)
    assert points["loss"].tolist() == pytest.approx(LOSSES, rel=1e-6)
    assert {field: record.spec[field] for field in spec} == spec


SAID: dict[str, Any] = {"loss_unit": "nats/token", "n_convention": "non-embedding"}
MAP = {"N": "1e6", "tokens": "seen", "loss": "loss"}


def test_wandb_offline_files_of_a_finished_a_failed_and_a_killed_run(tmp_path: Path, store: RunStore) -> None:
    pytest.importorskip("wandb")
    program = """
        import os, sys
        import wandb
        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_machine_info=True)
        def logged(name):
            run = wandb.init(project="p", mode="offline", dir=".", id=name, settings=settings,
                             config={"lr": 1e-3, "model": {"d": 8}, "note": "../../x", "big": "v" * 70000})
            for step in range(10, 60, 10):
                run.log({"loss": 4.0 - 0.01 * step, "seen": 10 * step, "eval": {"loss": 9.0}}, step=step)
            return run
        logged("good").finish()
        logged("bad").finish(exit_code=3)
    """
    wrote(tmp_path, program)
    (good,) = tmp_path.glob("wandb/*good/*.wandb")
    done = import_runs(store, tmp_path / "wandb", {**MAP, "spec.lr": "config.lr", "spec.d": "config.model.d"}, **SAID)
    assert (done.runs, done.problems) == (2, [])
    check(store, "good", lr=1e-3, d=8)
    (bad,) = (record for record in store if record.spec["run"] == "bad")
    assert (bad.status, bad.error) == ("killed", "W&B: exit code 3")
    assert "eval.loss" not in store.points_of(bad.id)

    whole = good.read_bytes()
    torn = tmp_path / "run-torn.wandb"
    torn.write_bytes(whole[:-150])
    other = RunStore(tmp_path / "other")
    import_runs(other, torn, MAP, **SAID)
    assert {record.status for record in other} == {"killed"}
    torn.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with pytest.raises(SourceError, match="the checksum does not fit"):
        import_runs(other, torn, MAP, **SAID)


def test_a_history_artifact_of_wandb_is_a_table_with_its_step(tmp_path: Path, store: RunStore) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    file = tmp_path / "0000.parquet"
    parquet.write_table(pa.table({"_step": list(STEPS), "loss": LOSSES, "seen": [10 * step for step in STEPS]}), file)
    import_runs(store, file, {**MAP, "run": "'r1'"}, format="wandb-history", **SAID)
    check(store, "r1")


def test_tensorboard_event_files_of_several_runs(tmp_path: Path, store: RunStore) -> None:
    pytest.importorskip("tensorboard")
    program = """
        import numpy as np
        from torch.utils.tensorboard import SummaryWriter
        for name in ("a", "sweep/b"):
            with SummaryWriter(f"logs/{name}") as writer:
                for step in range(10, 60, 10):
                    writer.add_scalar("train/loss", 4.0 - 0.01 * step, step)
                    writer.add_scalar("seen", 10 * step, step)
                writer.add_text("note", "../../x", 50)
                writer.add_histogram("weights", np.ones(3), 50)
    """
    wrote(tmp_path, program)
    done = import_runs(store, tmp_path / "logs", {**MAP, "loss": "train/loss"}, **SAID)
    assert (done.runs, done.problems) == (2, [])
    for name in ("a", "sweep/b"):
        check(store, name)
    (file,) = (tmp_path / "logs" / "a").iterdir()
    torn = tmp_path / "events.out.tfevents.torn"
    torn.write_bytes(file.read_bytes()[:-20])
    other = RunStore(tmp_path / "other")
    assert import_runs(other, torn, {**MAP, "loss": "train/loss"}, **SAID).points == len(STEPS)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MLflow's of its folders, which make no database of many tables
def test_mlflow_runs_with_whole_histories(tmp_path: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    program = """
        import mlflow
        client = mlflow.MlflowClient(tracking_uri="mlruns")
        experiment = client.create_experiment("escaped")
        for name, end in (("good", "FINISHED"), ("bad", "FAILED"), ("going", None)):
            run = client.create_run(experiment, run_name=name).info.run_id
            client.log_param(run, "lr", 1e-3)
            client.log_param(run, "optimizer", "../../adamw")
            for step in range(10, 60, 10):
                client.log_metric(run, "loss", 4.0 - 0.01 * step, step=step)
                client.log_metric(run, "seen", 10 * step, step=step)
            if end:
                client.set_terminated(run, status=end)
    """
    wrote(tmp_path, program)
    mapped = {**MAP, "run": "run_name", "spec.*": "params.*", "spec.experiment": "experiment"}
    done = import_runs(store, tmp_path / "mlruns", mapped, **SAID)
    assert done.runs == 2
    assert done.problems[0].endswith("MLflow: RUNNING; import it when it has ended")
    check(store, "good", lr=1e-3, optimizer="../../adamw", experiment="escaped")
    assert store.summary() == {"finished": 1, "killed": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"mlruns", "store"}
    with pytest.raises(SourceError, match="no database"):
        import_runs(store, f"sqlite:///{tmp_path}/none.db", mapped, format="mlflow", **SAID)
    with pytest.raises(SourceError, match="MLflow cannot read"):
        import_runs(store, "nowhere://x", mapped, format="mlflow", **SAID)


def test_trainer_state_of_transformers(tmp_path: Path, store: RunStore) -> None:
    callback = pytest.importorskip("transformers.trainer_callback")
    state = callback.TrainerState(global_step=50, max_steps=50, train_batch_size=2, num_input_tokens_seen=500)
    for step, loss in zip(STEPS, LOSSES, strict=True):
        state.log_history.append({"step": step, "epoch": step / 50, "loss": loss, "num_input_tokens_seen": 10 * step})
    state.log_history.append({"step": 50, "epoch": 1.0, "eval_loss": 3.25, "eval_runtime": math.nan})
    state.log_history.append({"step": 50, "train_loss": 3.7, "train_runtime": 1.5, "total_flos": 1e9})
    folder = tmp_path / "my-run" / "checkpoint-50"
    folder.mkdir(parents=True)
    state.save_to_json(str(folder / "trainer_state.json"))
    mapped = {
        "N": "1e6", "tokens": "num_input_tokens_seen", "loss": "loss", "val_loss": "eval_loss",
        "spec.max_steps": "max_steps",
    }  # fmt: skip
    import_runs(store, folder / "trainer_state.json", mapped, **SAID)
    (record,) = store
    assert (record.spec["run"], record.spec["max_steps"]) == ("my-run", 50)
    assert record.result == {"loss": 3.25, "tokens": 500.0}
    assert store.points_of(record.id)["loss"].tolist() == pytest.approx(LOSSES)
