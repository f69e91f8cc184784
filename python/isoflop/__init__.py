"""Scaling laws of neural language models: count, train small, fit the law, plan large.

``import isoflop as iso``, then ``iso.Shape``, ``iso.flops``, ``iso.fit``, ``iso.plan``, ``iso.RunStore`` and the rest
of ``isoflop.__all__``. Names are loaded on first use, so that importing the package loads no heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoflop._core import __version__
from isoflop.exports import export

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

export(
    __name__,
    {
        "counting": ("flops", "table1"),
        "counting.enumeration": ("Nearby", "shapes_near"),
        "counting.footprint": ("Memory", "largest_batch", "largest_serving_batch", "memory", "serving_memory"),
        "counting.layout": ("Layout",),
        "counting.meter": ("Meter",),
        "counting.roofline": ("operations", "step_time"),
        "designing.candidates": ("Space",),
        "designing.design": ("design",),
        "designing.designed": ("Design",),
        "designing.machine": ("Machine",),
        "fitting.batches": ("Batches",),
        "fitting.compare": ("Comparison", "compare"),
        "fitting.fit": ("fit",),
        "fitting.fitted": ("Fit",),
        "fitting.objective": ("LAD", "Huber", "LeastSquares", "Quantile"),
        "fitting.targets": ("Fits", "fit_all"),
        "hardware.devices": ("Device", "device"),
        "hardware.measured": ("peak_of_this_machine",),
        "laws.law": ("Law",),
        "planning.plan": ("Plan", "plan"),
        "runs.recorder": ("Recorder",),
        "runs.store": ("RunStore",),
        "shape": ("Shape",),
        "shape.named": ("named_shape",),
        "tracing.meta": ("trace_meta",),
        "tracing.trace": ("Trace", "trace"),
    },
)
