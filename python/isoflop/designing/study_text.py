"""A design as the text of a study file: its runs listed one by one, the most telling first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoflop.designing.designed import Design


def study_text(design: Design, name: str, corpus: str, train: Mapping[str, Any]) -> str:
    """TOML; what the shapes have in common stands in ``[shape]``."""
    shapes = [run.shape.to_dict() for run in design.runs if run.shape is not None]
    common = {
        field: value for field, value in shapes[0].items() if all(field in s and s[field] == value for s in shapes)
    }
    lines = [*(f"# {line}" for aim in design.aims for line in _aim(aim.row())), *(f"# {x}" for x in design.facts())]
    lines += ["", f"name = {_value(name)}", f"corpus = {_value(corpus)}", "", "runs = ["]
    for run, shape in zip(design.runs, shapes, strict=True):
        entry = {field: value for field, value in shape.items() if field not in common}
        entry |= {"tokens": run.n_tokens}
        if run.batch_tokens is not None:
            entry |= {"batch_tokens": run.batch_tokens}
        if run.seeds != (0,):
            entry |= {"seeds": list(run.seeds)}
        lines.append(f"  {_value(entry)},")
    lines.append("]")
    for table, values in (("shape", common), ("train", train)):
        if values:
            lines += ["", f"[{table}]", *(f"{field} = {_value(value)}" for field, value in values.items())]
    return "\n".join(lines) + "\n"


def _aim(row: tuple[str, ...]) -> list[str]:
    target, value, before, after, _ = row
    return [f"{target}: {value}, {before} now, {after} then"]


def _value(value: Any) -> str:
    """As TOML writes it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return f"{value:.10g}" if value != int(value) or abs(value) >= 1e15 else f"{int(value)}"
    return json.dumps(value)
