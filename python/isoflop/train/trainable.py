"""What is trained, and by which engine; the rest of what a shape describes is counted alone."""

from __future__ import annotations

from collections.abc import Mapping

from isoflop.errors import ShapeError
from isoflop.shape import Shape
from isoflop.shape.fields import OF_EXPERTS, OPTIONAL

TRAINED = ("decoder", "universal", "lstm")
UNTRAINED = ("kv_lora_rank", "n_predict")
"""Architectures that are trained, and fields of theirs that are counted alone."""

ENGINES: dict[str, tuple[str, ...]] = {
    "torch": ("float32",),
    "native": ("float32", "bfloat16"),
    "triton": ("float32", "bfloat16"),
}
"""What trains, with the precisions of its matrix products: torch's autograd on the CPU, our kernels on it, on a GPU."""

ENGINE, PRECISION = "torch", "float32"
"""Those of a spec that names none; a study that names none has those of :func:`default_engine`."""

_SETTINGS: Mapping[str, Mapping[str, object]] = {
    "triton": {"dropout": 0.0},
}
_SHAPE = {name: unused for name, unused in OPTIONAL.items() if name not in ("window", "global_every", *OF_EXPERTS)}
_SHAPES: Mapping[str, Mapping[str, object]] = {"triton": _SHAPE | {name: OPTIONAL[name] for name in OF_EXPERTS}}
# What engines but torch's are without: settings of a spec, and fields of a shape, by the values they must have.


def beyond(engine: str, shape: Shape, settings: Mapping[str, object]) -> dict[str, object]:
    """What of ``shape`` and of the ``settings`` of a spec the engine does not train, by the values that it does."""
    if engine == "torch":
        return {}
    without = _SETTINGS.get(engine, {})
    fields = _SHAPES.get(engine, _SHAPE)
    of_shape = {name: only for name, only in fields.items() if getattr(shape, name) != only}
    return of_shape | {name: only for name, only in without.items() if settings.get(name, only) != only}


def default_engine(shape: Shape, settings: Mapping[str, object]) -> str:
    """The C++ engine where it trains ``shape`` with these settings of a spec, torch's autograd where it does not."""
    return "torch" if beyond("native", shape, settings) else "native"


def refuse_untrainable(shape: Shape) -> None:
    """Raise ShapeError for a shape that can be counted but not trained: what sees both ways, and what no model has."""
    used = [name for name in UNTRAINED if getattr(shape, name) != OPTIONAL[name]]
    if shape.architecture not in TRAINED:
        used.insert(0, "architecture")
    if used:
        named = ", ".join(f"{name} = {getattr(shape, name)!r}" for name in used)
        raise ShapeError(f"shapes with {named} can be counted, not trained", hint=f"leave {', '.join(used)} out")
