"""FLOPs and bytes of any torch model, operation by operation; torch is loaded on first use."""

from isoflop.tracing.graph import KINDS, PHASES, Cost, Graph, Row, graph_of
from isoflop.tracing.meta import trace_meta
from isoflop.tracing.ops import Op, attention, custom, elementwise, matmul
from isoflop.tracing.registry import register, unregister
from isoflop.tracing.trace import Trace, Uncounted, trace
from isoflop.tracing.walk import walk

__all__ = [
    "KINDS",
    "PHASES",
    "Cost",
    "Graph",
    "Op",
    "Row",
    "Trace",
    "Uncounted",
    "attention",
    "custom",
    "elementwise",
    "graph_of",
    "matmul",
    "register",
    "trace",
    "trace_meta",
    "unregister",
    "walk",
]
