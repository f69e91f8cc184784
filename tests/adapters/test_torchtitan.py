"""The real metrics of torchtitan with the logger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("default")  # of libraries, about each other


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A metrics processor as torchtitan builds it, on one process; the memory of a GPU, where there is none, is 0."""
    metrics = pytest.importorskip("torchtitan.components.metrics")
    config = pytest.importorskip("torchtitan.config").JobConfig()
    config.metrics.log_freq = 1
    if not torch.cuda.is_available():
        empty = metrics.DeviceMemStats(0.0, 0.0, 0.0, 0.0, 0, 0)
        memory = SimpleNamespace(device_name="none", reset_peak_stats=lambda: None, get_peak_stats=lambda: empty)
        monkeypatch.setattr(metrics, "build_device_memory_monitor", lambda: memory)
    config.job.dump_folder = str(tmp_path / "titan")
    return metrics.MetricsProcessor(config, SimpleNamespace(non_data_parallel_size=1))


def test_what_torchtitan_logs_is_recorded(processor: Any, tmp_path: Path) -> None:
    from adapters.models import SEQ, Decoder, check_counts, only
    from isoflop.adapters.torchtitan import IsoflopLogger, attach
    from isoflop.runs import RunStore

    store = RunStore(tmp_path / "store")
    logger = IsoflopLogger(store, {"seed": 0}, model=Decoder(), batch_tokens=4 * SEQ, steps=3, seq=SEQ)
    attach(logger, processor)
    processor.num_flops_per_token = 100
    for step in (1, 2, 3):
        processor.ntokens_since_last_log = 4 * SEQ
        processor.data_loading_times = [0.1]
        processor.log(step, global_avg_loss=4.0 - step, global_max_loss=5.0, grad_norm=0.5, extra_metrics={"lr": 1e-3})
    processor.log_validation(loss=2.5, step=3)
    processor.close()
    record = only(store)
    check_counts(record, 3 * 4 * SEQ)
    assert record.result == {"loss": 2.5, "tokens": 3 * 4 * SEQ}
    points = store.points_of(record.id)
    assert points["loss"][:3].tolist() == [3.0, 2.0, 1.0]
    assert points["lr"][:3].tolist() == [1e-3] * 3
    assert (points["grad_norm"][:3] == 0.5).all()
