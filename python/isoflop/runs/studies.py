"""What a study asked of which runs: its groups, each with a purpose and the ids of its runs, in ``studies/NAME.json``.

A run says how it was made and never why: one run may serve several groups and studies, and is made once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from isoflop.errors import StoreError, nearest
from isoflop.runs.store import RunStore

PURPOSES = {
    "scaling": "held-out loss against N, D and C",
    "steps": "learning curves against N and S_min",
    "batch": "the critical batch size against the loss",
    "shape": "shapes of one N against each other",
    "isoflop": "the best N of each budget",
}
"""What the runs of a group are to show."""
FORMAT = 1


class GroupRuns(msgspec.Struct, frozen=True, kw_only=True):
    """A group of a study: its name, its purpose (of :data:`PURPOSES`) and the ids of its runs."""

    name: str
    purpose: str
    runs: tuple[str, ...]


class StudyRuns(msgspec.Struct, frozen=True, kw_only=True):
    """A study as it was last asked for, its groups in the order of its file."""

    format: int = FORMAT
    name: str
    groups: tuple[GroupRuns, ...]


def write_study(store: RunStore, name: str, groups: Sequence[GroupRuns]) -> None:
    """Say in ``store`` what a study asks of which runs, in the place of what it asked before.

    Raises:
        StoreError: the name is not that of a file, or the store cannot be written.
    """
    if not name or name.startswith(".") or any(sign in name for sign in "/\\\0"):
        raise StoreError(f"a study named {name!r} cannot be kept in a store", hint="a name without / and first dot")
    content = msgspec.json.format(msgspec.json.encode(StudyRuns(name=name, groups=tuple(groups))))
    store.root.sub("studies").replace(f"{name}.json", content + b"\n")


def read_studies(store: RunStore) -> dict[str, StudyRuns]:
    """What every study asked of the store, by its name.

    Raises:
        StoreError: a file is damaged, or of a newer format.
    """
    found = {}
    folder = store.root.sub("studies")
    for file in folder.names():
        if file.startswith(".") or not file.endswith(".json"):  # of a writer that was killed amid a rename
            continue
        if (content := folder.read(file)) is None:
            continue
        path = f"{folder.url}/{file}"
        try:
            study = msgspec.json.decode(content, type=StudyRuns)
        except msgspec.MsgspecError as error:
            raise StoreError(f"{path} is damaged: {error}", hint="isoflop sweep STUDY writes it anew") from error
        if study.format > FORMAT:
            raise StoreError(f"{path} has format {study.format}; this version reads up to {FORMAT}")
        found[study.name] = study
    return found


def runs_by_purpose(store: RunStore) -> Mapping[str, Collection[str]]:
    """Ids of runs by what a group of any study is to show of them; empty for a store that no study was kept in."""
    by_purpose: dict[str, dict[str, None]] = {}
    for study in read_studies(store).values():
        for group in study.groups:
            by_purpose.setdefault(group.purpose, {}).update(dict.fromkeys(group.runs))
    return by_purpose


def scaling_runs(store: RunStore) -> Collection[str] | None:
    """Ids of the runs that laws of N, D and C are fitted to: all but those made for another purpose alone."""
    by_purpose = runs_by_purpose(store)
    kept = set(by_purpose.get("scaling", ()))
    other = {run for purpose, runs in by_purpose.items() if purpose != "scaling" for run in runs} - kept
    return {record.id for record in store if record.id not in other} if other else None


def runs_of_group(store: RunStore, name: str) -> Collection[str]:
    """Ids of the runs of the group called ``name``, of whichever study.

    Raises:
        StoreError: there is none; the message names those that there are.
    """
    groups = {group.name: group.runs for study in read_studies(store).values() for group in study.groups}
    if name not in groups:
        known = nearest(name, groups) if groups else "no study was kept in it: isoflop sweep STUDY does that"
        raise StoreError(f"the store has no group {name!r}", hint=known)
    return groups[name]
