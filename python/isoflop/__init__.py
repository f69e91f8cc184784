"""Scaling laws of neural language models: count, train small, fit the law, plan large.

``import isoflop as iso``, then ``iso.Shape``, ``iso.flops``, ``iso.fit``, ``iso.plan``, ``iso.RunStore`` and the rest
of ``isoflop.__all__``. Names are loaded on first use, so that importing the package loads no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isoflop._core import __version__

if TYPE_CHECKING:
    from isoflop.counting import flops, table1
    from isoflop.counting.enumeration import Nearby, shapes_near
    from isoflop.counting.footprint import Memory, largest_batch, largest_serving_batch, memory, serving_memory
    from isoflop.counting.layout import Layout
    from isoflop.counting.meter import Meter
    from isoflop.counting.roofline import operations, step_time
    from isoflop.designing.candidates import Space
    from isoflop.designing.design import design
    from isoflop.designing.designed import Design
    from isoflop.designing.machine import Machine
    from isoflop.fitting.batches import Batches
    from isoflop.fitting.compare import Comparison, compare
    from isoflop.fitting.fit import fit
    from isoflop.fitting.fitted import Fit
    from isoflop.fitting.objective import LAD, Huber, LeastSquares, Quantile
    from isoflop.fitting.targets import Fits, fit_all
    from isoflop.hardware.devices import Device, device
    from isoflop.hardware.measured import peak_of_this_machine
    from isoflop.laws.law import Law
    from isoflop.planning.plan import Plan, plan
    from isoflop.runs.recorder import Recorder
    from isoflop.runs.store import RunStore
    from isoflop.shape import Shape
    from isoflop.shape.named import named_shape
    from isoflop.tracing.meta import trace_meta
    from isoflop.tracing.trace import Trace, trace

_HOME = {
    "Batches": "isoflop.fitting.batches",
    "Comparison": "isoflop.fitting.compare",
    "Design": "isoflop.designing.designed",
    "Device": "isoflop.hardware.devices",
    "Fit": "isoflop.fitting.fitted",
    "Fits": "isoflop.fitting.targets",
    "Huber": "isoflop.fitting.objective",
    "LAD": "isoflop.fitting.objective",
    "Law": "isoflop.laws.law",
    "Layout": "isoflop.counting.layout",
    "LeastSquares": "isoflop.fitting.objective",
    "Machine": "isoflop.designing.machine",
    "Memory": "isoflop.counting.footprint",
    "Meter": "isoflop.counting.meter",
    "Nearby": "isoflop.counting.enumeration",
    "Plan": "isoflop.planning.plan",
    "Quantile": "isoflop.fitting.objective",
    "Recorder": "isoflop.runs.recorder",
    "RunStore": "isoflop.runs.store",
    "Shape": "isoflop.shape",
    "Space": "isoflop.designing.candidates",
    "Trace": "isoflop.tracing.trace",
    "compare": "isoflop.fitting.compare",
    "design": "isoflop.designing.design",
    "device": "isoflop.hardware.devices",
    "fit": "isoflop.fitting.fit",
    "fit_all": "isoflop.fitting.targets",
    "flops": "isoflop.counting",
    "largest_batch": "isoflop.counting.footprint",
    "largest_serving_batch": "isoflop.counting.footprint",
    "memory": "isoflop.counting.footprint",
    "named_shape": "isoflop.shape.named",
    "operations": "isoflop.counting.roofline",
    "peak_of_this_machine": "isoflop.hardware.measured",
    "plan": "isoflop.planning.plan",
    "serving_memory": "isoflop.counting.footprint",
    "shapes_near": "isoflop.counting.enumeration",
    "step_time": "isoflop.counting.roofline",
    "table1": "isoflop.counting",
    "trace": "isoflop.tracing.trace",
    "trace_meta": "isoflop.tracing.meta",
}

__all__ = [
    "LAD",
    "Batches",
    "Comparison",
    "Design",
    "Device",
    "Fit",
    "Fits",
    "Huber",
    "Law",
    "Layout",
    "LeastSquares",
    "Machine",
    "Memory",
    "Meter",
    "Nearby",
    "Plan",
    "Quantile",
    "Recorder",
    "RunStore",
    "Shape",
    "Space",
    "Trace",
    "__version__",
    "compare",
    "design",
    "device",
    "fit",
    "fit_all",
    "flops",
    "largest_batch",
    "largest_serving_batch",
    "memory",
    "named_shape",
    "operations",
    "peak_of_this_machine",
    "plan",
    "serving_memory",
    "shapes_near",
    "step_time",
    "table1",
    "trace",
    "trace_meta",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'isoflop' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
