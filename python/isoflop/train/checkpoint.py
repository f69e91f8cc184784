"""Where a run stands, in one file: parameters, moments, step and bookkeeping; going on from it changes no bit.

A file is a safetensors file in the folder of the run, wherever the store is, so that any machine goes on from it. It is
replaced whole: a reader, or a run that is killed while it writes one, finds the one before or the new one. The data
position is the step: the order of a run's windows follows from its seed. A checkpoint says what was trained, so that
another run whose first steps are the same may begin from it: a cool-down from its trunk.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from torch import Tensor

from isoflop.errors import CheckpointError, require
from isoflop.runs import RunStore
from isoflop.runs.files import explained
from isoflop.runs.folder import Folder
from isoflop.train.course import Course
from isoflop.train.partings import trained_so_far
from isoflop.train.spec import TrainSpec
from isoflop.train.step import Step

NAME = "checkpoint.safetensors"
_FORMAT = "2"
_HEADER_BYTES = 10**8
"""Those that the head of a safetensors file takes at most, by its format."""


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of one run go, and when.

    Attributes:
        folder: of the run; the newest is ``checkpoint.safetensors`` in it, and where a run goes on from.
        every: steps between two; 0 writes none but those to keep.
        keep: steps whose checkpoint stays, as ``checkpoint.STEP.safetensors``, the last step's too.
        begin: where a run that has none of its own begins from: one that an earlier run of the same steps kept.
        writes: whether this process does; of those that a run is spread over, one.
    """

    folder: Folder
    every: int = 0
    keep: Collection[int] = ()
    writes: bool = True
    begin: Kept | None = None

    def due(self, course: Course) -> bool:
        """Whether a checkpoint is to be written now; of a run that is over, only one to keep."""
        return course.step in self.keep or (not course.over and bool(self.every and course.step % self.every == 0))

    def save(self, model: int, step: Step, course: Course, *, now: bool = False) -> None:
        """Write where ``course`` stands, with its ``model`` of ``step``; its points so far are on disk before.

        ``now`` makes it the newest whatever is due: the run is to be interrupted.

        Raises:
            StoreError: the store refuses.
        """
        course.sync()
        state = step.state(model)  # by every process that has a part of it
        if not self.writes:
            return
        content = _encode(state, course)
        kept = [f"checkpoint.{course.step}.safetensors"] if course.step in self.keep else []
        latest = [NAME] if now or (not course.over and self.every and course.step % self.every == 0) else []
        for name in kept + latest:
            self.folder.replace(name, content)

    def resume(self, model: int, step: Step, course: Course) -> bool:
        """Go on from the newest checkpoint, or begin from that of another run; whether there was one.

        Raises:
            CheckpointError: it is damaged, or of a run whose steps so far were others.
            StoreError: the store refuses.
        """
        own = NAME in self.folder.names()
        if not own and self.begin is None:
            return False
        folder, name = (self.folder, NAME) if own or self.begin is None else (self.begin.folder, self.begin.name)
        tensors, state, trained = _decode(folder, name)
        made = json.loads(state)["step"]
        if made > course.spec.n_steps or trained != trained_so_far(course.spec, course.rates[:made]):
            raise CheckpointError(
                f"{folder.url}/{name} is of a run whose first {made} steps are not those of this one",
                hint="a run goes on from what has its seeds, data, batch, optimizer and, so far, learning rates",
            )
        step.load_state(model, tensors)
        course.resume(state, own=own)
        return True

    def clear(self) -> None:
        """Remove the newest: the run has ended."""
        self.folder.remove(NAME)


@dataclass(frozen=True)
class Kept:
    """Where an ended ``run`` stood after ``step`` steps: a file of its folder to begin from."""

    run: str
    step: int
    folder: Folder
    name: str


def kept(store: RunStore, spec: TrainSpec) -> Kept | None:
    """What the runs of ``store`` kept that is furthest on the way of ``spec``; None where nothing is.

    Raises:
        CheckpointError: a checkpoint is damaged.
        StoreError: one cannot be read.
    """
    rates, best = spec.rates(), None
    for run, name in store.files("checkpoint.*.safetensors"):
        step, folder = int(name.split(".")[1]), store.run(run)
        further = step < spec.n_steps and (best is None or step > best.step)
        if further and _trained(folder, name) == trained_so_far(spec, rates[:step]) and store.has_ended(run):
            best = Kept(run, step, folder, name)
    return best


class _Header(msgspec.Struct, rename={"told": "__metadata__"}):
    """What the head of a safetensors file says, but for its tensors."""

    told: dict[str, str] = {}


def _trained(folder: Folder, name: str) -> str | None:
    """What was trained up to a checkpoint, from the head of its file alone: a length, 8 bytes, and JSON of that."""
    length = int.from_bytes(folder.head(name, 8), "little")
    try:
        header = msgspec.json.decode(folder.head(name, 8 + min(length, _HEADER_BYTES))[8:], type=_Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CheckpointError(f"{folder.url}/{name} is damaged: {error}", hint="delete it") from error
    return header.told.get("trained")


def _encode(tensors: dict[str, Tensor], course: Course) -> bytes:
    safetensors = require("safetensors.torch", extra="train")
    told = {
        "format": _FORMAT,
        "course": course.to_json(),
        "trained": trained_so_far(course.spec, course.rates[: course.step]),
    }
    packed: bytes = safetensors.save({name: value.contiguous() for name, value in tensors.items()}, told)
    return packed


def _decode(folder: Folder, name: str) -> tuple[dict[str, Tensor], str, str]:
    safetensors = require("safetensors", extra="train")
    where = f"{folder.url}/{name}"
    try:
        with folder.on_disk(name) as file, explained("read", where), safetensors.safe_open(file, "pt") as opened:
            told = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118, not a mapping
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{where} is damaged: {error}", hint="delete it; the run begins anew") from error
    if told.get("format") != _FORMAT:
        raise CheckpointError(f"{where} is not a checkpoint of format {_FORMAT}", hint="delete it; the run begins anew")
    return tensors, told["course"], told["trained"]
