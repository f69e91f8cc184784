"""One contract for all executors: each run made once, failures told, stops that lose nothing, lost nodes made good."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import SpecError
from isoflop.runs import RunStore, run_id
from isoflop.sweep.executors import EXECUTORS, Executor, Option, make_executor, parse_options
from isoflop.sweep.job import How
from isoflop.train.spec import TrainSpec

pytestmark = [
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MakeSpecs = Callable[..., list[TrainSpec]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes of one worker each, on this machine."""
    pytest.importorskip("ray", reason="needs the extra ray")
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Executor:
    """Each of them with one worker, torchrun with two processes."""
    name: str = request.param
    if name == "ray":
        request.getfixturevalue("cluster")
    if name == "slurm":
        pytest.importorskip("submitit", reason="needs the extra slurm")
    options: dict[str, Option] = {"cluster": "local", "timeout_min": 5} if name == "slurm" else {}
    return partial(make_executor(name, options=options), workers=2 if name == "torchrun" else 1)


def ident(spec: TrainSpec) -> str:
    return run_id(spec.to_dict())


def test_runs_are_made_once_and_failures_are_told(executor: Executor, store: RunStore, make_specs: MakeSpecs) -> None:
    specs = make_specs(train={"engine": "torch"}, tokens=[640], shapes=[{"d_model": [4]}])
    lost = TrainSpec.from_dict(specs[0].to_dict() | {"corpus": "0" * 16})
    result = executor([*specs, lost], store, retries={"lost": 0})
    assert result.states == {**{ident(spec): "finished" for spec in specs}, ident(lost): "failed"}
    assert f"no corpus {'0' * 16}" in result.errors[ident(lost)]
    assert {record.attempt for record in store if record.status == "finished"} == {1}
    again = executor(specs, store)
    assert (again.found, again.states, again.stopped) == (1, {}, False)


def test_a_stop_leaves_every_run_where_it_stands(executor: Executor, store: RunStore, make_specs: MakeSpecs) -> None:
    [spec] = make_specs(
        train={"engine": "torch", "allow_repeats": True}, tokens=[64_000_000], shapes=[{"d_model": [4]}]
    )
    stop = threading.Event()

    def stop_amid() -> None:
        until = time.monotonic() + 60
        while not len(store.points_of(ident(spec)).get("step", ()) if store.get(ident(spec)) else ()):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        stop.set()

    threading.Thread(target=stop_amid).start()
    result = executor([spec], store, stop=stop)
    assert (result.stopped, result.states) == (True, {})
    assert (store.path / "runs" / ident(spec) / "checkpoint.safetensors").exists()
    record = store.get(ident(spec))
    assert record is not None
    assert store.state(record) == "interrupted"


def test_runs_of_a_node_that_is_killed_are_made_on_the_others(
    cluster: Any, store: RunStore, make_specs: MakeSpecs, watch: Any
) -> None:
    specs = make_specs(
        shapes=[{"d_model": [4]}], tokens=[320_000, 384_000], train={"allow_repeats": True, "seeds": [0, 1, 2]}
    )
    [second], killed = cluster.worker_nodes, threading.Event()

    def kill_once(spec: TrainSpec, step: int) -> None:
        begun = [record for record in store if store.state(record) == "running"]
        if len(begun) >= 2 and not killed.is_set():
            killed.set()
            cluster.remove_node(second, allow_graceful=False)

    seen = watch(kill_once)
    ray = make_executor("ray")
    result = ray(specs, store, workers=2, watcher=seen, how=How(checkpoint_every=500))
    assert killed.is_set()
    assert result.states == dict.fromkeys(map(ident, specs), "finished")
    assert sorted(ident(spec) for spec, _, _ in seen.ends) == sorted(map(ident, specs)), "each ends once"
    attempts = [record.attempt for record in store]
    assert len(attempts) == len(specs)
    assert sum(attempts) == len(specs) + len(seen.retried), "only what was lost is begun again"
    for spec in specs:
        steps = store.points_of(ident(spec))["step"]
        assert (steps[1:] > steps[:-1]).all()
        assert steps[-1] == spec.n_steps


def test_a_preempted_job_is_queued_again_and_goes_on(store: RunStore, make_specs: MakeSpecs) -> None:
    submitit = pytest.importorskip("submitit", reason="needs the extra slurm")
    from isoflop.sweep.slurm import Share

    [spec] = make_specs(train={"allow_repeats": True}, tokens=[1_600_000], shapes=[{"d_model": [4]}])
    folder = store.path / "slurm"
    submit = submitit.AutoExecutor(folder=folder, cluster="local")
    submit.update_parameters(timeout_min=5)
    settings = {"workers": 1}
    [job] = submit.map_array(Share(str(folder), str(store.path), [spec.to_dict()], settings), range(1))
    until = time.monotonic() + 60
    while not (store.get(ident(spec)) and len(store.points_of(ident(spec)).get("step", ()))):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    os.kill(child_of(job._process.pid), signal.SIGUSR2)
    assert job.result() == {}
    record = store.get(ident(spec))
    assert record is not None
    assert (record.status, record.attempt) == ("finished", 2)


def child_of(pid: int) -> int:
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_executors_and_options_are_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"no executor 'slrum'\n.*did you mean 'slurm'"):
        make_executor("slrum")
    with pytest.raises(SpecError, match=r"'torchrun' has no option 'spred'\n.*did you mean 'spread'"):
        make_executor("torchrun", options={"spred": "ddp"})
    with pytest.raises(SpecError, match="option 'num_gpus' must be NAME=VALUE"):
        parse_options(["num_gpus"])
    assert parse_options(["num_gpus=0.25", "nodes=2", "slurm_partition=gpu"]) == {
        "num_gpus": 0.25, "nodes": 2, "slurm_partition": "gpu",
    }  # fmt: skip
