"""What is trained, and by which engine; the rest of what a shape describes is counted alone."""

from __future__ import annotations

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

_SHAPE = {name: unused for name, unused in OPTIONAL.items() if name not in ("window", "global_every", *OF_EXPERTS)}
# What engines but torch's are without: fields of a shape, by the values they must have.
_MOST = {"triton": {"n_expert": 256, "top_k": 8}}
# What kernels hold of a row at once: as in isoflop.kernels.moe_routing, which needs Triton to be asked.


def beyond(engine: str, shape: Shape) -> dict[str, str]:
    """What of ``shape`` the engine does not train, each with what it does, in words."""
    only = {} if engine == "torch" else _SHAPE
    needed = {name: repr(value) for name, value in only.items() if getattr(shape, name) != value}
    most = _MOST.get(engine, {})
    return needed | {name: f"at most {held}" for name, held in most.items() if (getattr(shape, name) or 0) > held}


def default_engine(shape: Shape) -> str:
    """The C++ engine where it trains ``shape``, torch's autograd where it does not."""
    return "torch" if beyond("native", shape) else "native"


def refuse_untrainable(shape: Shape) -> None:
    """Raise ShapeError for a shape that can be counted but not trained: what sees both ways, and what no model has."""
    used = [name for name in UNTRAINED if getattr(shape, name) != OPTIONAL[name]]
    if shape.architecture not in TRAINED:
        used.insert(0, "architecture")
    if used:
        named = ", ".join(f"{name} = {getattr(shape, name)!r}" for name in used)
        raise ShapeError(f"shapes with {named} can be counted, not trained", hint=f"leave {', '.join(used)} out")
