"""A training of one library over the processes of torchrun, each of which makes the recorder of it:

torchrun --nproc-per-node 2 two_processes.py LIBRARY FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils.data import DataLoader

from adapters.models import SEQ, Decoder, loss_of, tokens
from isoflop.runs import RunStore

STEPS, BATCH = 4, 2
"""Steps, and sequences of each process in one of them."""
TOKENS = 2 * BATCH * SEQ


def with_accelerate(folder: Path, store: RunStore) -> None:
    import accelerate

    from isoflop.adapters.accelerate import IsoflopTracker

    model = Decoder()
    tracker = IsoflopTracker(store, {}, model=model, batch_tokens=TOKENS, steps=STEPS, seq=SEQ)
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    assert accelerator.num_processes == 2
    model, optimizer, data = accelerator.prepare(
        model, torch.optim.AdamW(model.parameters(), lr=1e-3), DataLoader(tokens(2 * BATCH * STEPS), BATCH)
    )
    accelerator.init_trackers("project", config={"lr": 1e-3})
    for step, batch in enumerate(data, 1):
        loss = loss_of(model, batch)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.log({"loss": loss.detach()}, step=step)
    accelerator.end_training()


def with_huggingface(folder: Path, store: RunStore) -> None:
    import transformers

    from isoflop.adapters.huggingface import IsoflopCallback

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=8, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=SEQ,
    )  # fmt: skip
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"), max_steps=STEPS, per_device_train_batch_size=BATCH, logging_steps=1,
        save_strategy="no", report_to=[], use_cpu=True, ddp_backend="gloo", disable_tqdm=True,
    )  # fmt: skip
    assert arguments.world_size == 2
    rows = [{"input_ids": row, "labels": row} for row in tokens(2 * BATCH * STEPS)]
    model, callback = transformers.LlamaForCausalLM(config), IsoflopCallback(store, seq=SEQ)
    transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[callback]).train()


def with_lightning(folder: Path, store: RunStore) -> None:
    from lightning.pytorch import Trainer

    from adapters.test_lightning import Module
    from isoflop.adapters.lightning import IsoflopCallback, IsoflopLogger

    logger = IsoflopLogger(store, {}, batch_tokens=TOKENS, seq=SEQ, model="decoder")
    trainer = Trainer(
        max_steps=STEPS, logger=logger, callbacks=[IsoflopCallback(logger)], accelerator="cpu", devices=2,
        strategy="ddp", log_every_n_steps=1, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(tokens(2 * BATCH * STEPS), BATCH))
    assert trainer.world_size == 2


def with_torchtitan(folder: Path, store: RunStore) -> None:
    """Its loggers as it builds them; that of the second process has the losses, as the last stage of a pipeline."""
    from torchtitan.components.metrics import LoggerContainer

    from isoflop.adapters.torchtitan import IsoflopLogger, attach

    torch.distributed.init_process_group("gloo")
    processor = SimpleNamespace(logger=LoggerContainer())
    logger = IsoflopLogger(store, {}, model=Decoder(), batch_tokens=TOKENS, steps=STEPS, seq=SEQ, rank=1)
    attach(logger, processor)
    losses = [4.0, 3.0, 2.5, 2.25] if torch.distributed.get_rank() == 1 else [-1.0] * STEPS
    for step, loss in enumerate(losses, 1):
        processor.logger.log({"loss_metrics/global_avg_loss": loss}, step)
    processor.logger.close()
    torch.distributed.destroy_process_group()


LIBRARIES: Mapping[str, Callable[[Path, RunStore], None]] = {
    "accelerate": with_accelerate,
    "transformers": with_huggingface,
    "lightning": with_lightning,
    "torchtitan": with_torchtitan,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    LIBRARIES[sys.argv[1]](Path(sys.argv[2]), RunStore(Path(sys.argv[2]) / "store"))
