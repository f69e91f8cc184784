"""Which runs are trained together: stacks of one kind each, small enough that all workers stay busy to the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from isoflop.hardware import cores, gpus, memory_bytes
from isoflop.sweep.cost import own_shares, typical_seconds
from isoflop.train.footprint import needed, refuse_past_memory
from isoflop.train.partings import families
from isoflop.train.spec import TrainSpec, stack_key

LARGEST = {"torch": 1, "native": 16, "triton": 64}
"""Most runs in a stack, by engine: torch gains nothing from company; the others pay their overhead once a step."""

_JOBS_A_WORKER = 4
_MEMORY_SHARE = 0.5
_MEMORY = 4 << 30  # where the machine's is unknown


def pack(specs: Sequence[TrainSpec], workers: int) -> list[list[TrainSpec]]:
    """The runs as stacks, the longest stack last, to be taken from the end.

    No stack takes longer than a quarter of a worker's share of everything, unless it is a single run: then the last
    stacks end at about the same time. Runs of about the same length go together, as many as the memory is predicted to
    hold beside those of the other workers; runs that share their first steps always do, as one.

    Raises:
        NotEnoughMemory: a run would not fit even alone.
    """
    own = own_shares(specs)
    seconds = {spec: own[spec] * typical_seconds(spec) for spec in specs}
    longest = sum(seconds.values()) / (_JOBS_A_WORKER * workers)

    def taken(stack: Sequence[TrainSpec]) -> float:
        return sum(map(seconds.__getitem__, stack))

    threads = max(1, int(cores()) // workers)
    kinds: dict[tuple[object, ...], list[TrainSpec]] = defaultdict(list)
    for spec in specs:
        kinds[stack_key(spec)].append(spec)
    stacks: list[list[TrainSpec]] = []
    for kind in kinds.values():
        first = max(kind, key=lambda spec: spec.unique_tokens)
        memory = _memory(first.engine)
        refuse_past_memory([first], memory, threads=threads)
        share = _MEMORY_SHARE * (memory or _MEMORY) / workers
        sizes = range(LARGEST[first.engine], 1, -1)
        most = next((k for k in sizes if sum(needed([first] * k, threads=threads).values()) <= share), 1)
        stack: list[TrainSpec] = []
        for family in sorted(families(kind), key=taken, reverse=True):
            if stack and (len(stack) + len(family) > most or taken([*stack, *family]) > longest):
                stacks.append(stack)
                stack = []
            stack = [*stack, *family]
        stacks.append(stack)
    return sorted(stacks, key=taken)


def _memory(engine: str) -> int | None:
    """Bytes of the machine, or of its GPU, all of them; None where nobody tells."""
    return min((gpu.memory_bytes for gpu in gpus()), default=None) if engine == "triton" else memory_bytes()
