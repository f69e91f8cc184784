"""Types of the C++ extension; the public face is isoflop.shape, isoflop.counting and isoflop.hardware."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, final

import numpy as np
import numpy.typing as npt

__version__: str
CONVENTIONS: tuple[Convention, ...]
KINDS: dict[str, str]
DTYPES: dict[str, float]

class Pairs(Enum):
    NONE = 0
    FULL = 1
    CAUSAL = 2
    HALVED = 3
    MASKED = 4

class Recompute(Enum):
    NONE = 0
    FULL = 1
    ATTENTION = 2

class MaskKind(Enum):
    SHAPE = 0
    CAUSAL = 1
    FULL = 2
    WINDOW = 3
    PREFIX = 4
    PACKED = 5
    LAYERS = 6

@final
class Shape:
    def __init__(self, **fields: int | float | str | bool) -> None: ...
    @property
    def d_attn(self) -> int: ...
    @property
    def n_kaplan(self) -> int: ...
    @property
    def n_embedding(self) -> int: ...
    @property
    def n_nonembedding(self) -> int: ...
    @property
    def n_params(self) -> int: ...
    @property
    def n_active_params(self) -> int: ...
    @property
    def n_active_nonembedding(self) -> int: ...

@final
class Mask:
    def __init__(self, kind: MaskKind, size: int, lengths: list[int], parts: list[Mask]) -> None: ...

@final
class Convention:
    @property
    def name(self) -> str: ...
    @property
    def charges(self) -> tuple[tuple[str, float, float], ...]: ...
    @property
    def pairs(self) -> Pairs: ...
    @property
    def architectures(self) -> tuple[str, ...]: ...
    @property
    def source(self) -> str: ...

@final
class Graph:
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def module(self, name: str) -> int: ...
    def columns(self) -> dict[str, Any]: ...
    def cost(self, kind: str | None, phase: str | None) -> tuple[float, float, float, float]: ...
    def totals(self) -> list[tuple[str, str, str, str, int, float, float, float, float]]: ...

def counter(
    graph: Graph, uncounted: Callable[..., None]
) -> Callable[[Callable[..., Any], Sequence[Any], dict[str, Any], Any, str, int], None]: ...

class Counted(Enum):
    ARGUMENT = ...
    FIRST_OUTPUT = ...
    OUTPUT = ...

def matrix_product(slow: Callable[..., Any]) -> Callable[..., Any]: ...
def mapped(slow: Callable[..., Any], kind: str, flops: int, counted: Counted, tensor: type) -> Callable[..., Any]: ...
def graph_of(shape: Shape, batch: int, seq: int, mask: Mask | None, recompute: Recompute, dtype: str) -> Graph: ...

_Passes = tuple[float, float, float, float]

def attention_pairs(seq: int, pairs: Pairs) -> float: ...
def masked_pairs(shape: Shape, mask: Mask, seq: int) -> float: ...
def all_terms(shape: Shape, batch: int, seq: int, mask: Mask | None, recompute: Recompute) -> dict[str, _Passes]: ...
def product_terms(
    shape: Shape, batch: int, seq: int, mask: Mask | None, recompute: Recompute
) -> dict[str, _Passes]: ...
def forward_terms(shape: Shape, batch: int, seq: int, mask: Mask | None, pairs: Pairs) -> dict[str, float]: ...
def adamw_step(shape: Shape) -> float: ...
def kaplan_table1(shape: Shape, seq: int) -> list[tuple[str, int, float]]: ...
def forward_flops(shape: Shape, convention: str, batch: int, seq: int, mask: Mask | None) -> float: ...
def training_flops(shape: Shape, convention: str, batch: int, seq: int, mask: Mask | None) -> float: ...
def flops_columns(
    common: Shape,
    columns: dict[str, npt.NDArray[np.int64]],
    convention: str,
    seq: npt.NDArray[np.int64] | int,
    count: int,
    threads: int,
) -> npt.NDArray[np.float64] | int: ...
def cpu_features() -> list[str]: ...

class Program:
    def __init__(self, bfloat16: bool) -> None: ...
    def add_region(self, place: Sequence[int]) -> int: ...
    def move_region(self, index: int, place: Sequence[int]) -> None: ...
    def add_stage(self, units: int, parts: int) -> None: ...
    def add_call(
        self,
        op: str,
        isa: str,
        operands: Sequence[tuple[int, int]],
        sizes: Sequence[int],
        settings: Sequence[float],
    ) -> None: ...
    def run(self, models: Sequence[int], threads: int) -> None: ...
    @property
    def calls(self) -> int: ...

def usable_isas() -> list[str]: ...
def run_op(
    op: str,
    isa: str,
    tensors: Sequence[int],
    strides: Sequence[int],
    sizes: Sequence[int],
    settings: Sequence[float],
    models: int,
    bfloat16: bool,
) -> None: ...

STATES: tuple[State, ...]

class Keep(Enum):
    EVERYTHING = 0
    OUTSIDE_ATTENTION = 1
    LAYER_INPUTS = 2

@final
class State:
    @property
    def name(self) -> str: ...
    @property
    def parameter(self) -> int: ...
    @property
    def gradient(self) -> int: ...
    @property
    def master(self) -> int: ...
    @property
    def moments(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def total(self) -> int: ...

@final
class Layout:
    def __init__(
        self, *, dp: int, tp: int, pp: int, ep: int, zero: int, microbatches: int, sequence_parallel: bool
    ) -> None: ...
    @property
    def dp(self) -> int: ...
    @property
    def tp(self) -> int: ...
    @property
    def pp(self) -> int: ...
    @property
    def ep(self) -> int: ...
    @property
    def zero(self) -> int: ...
    @property
    def microbatches(self) -> int: ...
    @property
    def sequence_parallel(self) -> bool: ...

@final
class Activations:
    def __init__(self, *, keep: Keep, flash: bool, dropout: bool, bytes: int) -> None: ...

def training_memory(
    shape: Shape, layout: Layout, state: str, batch: int, seq: int, kept: Activations
) -> dict[str, int]: ...
def serving_memory(
    shape: Shape, layout: Layout, parameter_bytes: int, batch: int, seq: int, bytes: int
) -> dict[str, int]: ...
def block_activations(shape: Shape, layout: Layout, batch: int, seq: int, kept: Activations) -> int: ...
def largest_training_batch(
    shape: Shape, layout: Layout, state: str, seq: int, kept: Activations, capacity: int
) -> int: ...
def largest_serving_batch(
    shape: Shape, layout: Layout, parameter_bytes: int, seq: int, bytes: int, capacity: int
) -> int: ...
def all_reduce_bytes(message: float, n: int) -> float: ...
def step_work(
    shape: Shape,
    layout: Layout,
    state: str,
    batch: int,
    seq: int,
    kept: Activations,
    stage: int,
    ceilings: tuple[float, float, float],
) -> list[tuple[str, str, bool, float, float, float]]: ...
def training_step(
    shape: Shape,
    layout: Layout,
    state: str,
    batch: int,
    seq: int,
    kept: Activations,
    ceilings: tuple[float, float, float],
    links: tuple[float, float, float, float],
) -> dict[str, float]: ...

class Quantity(Enum):
    N_NONEMBEDDING = 0
    N_PARAMS = 1
    FLOPS = 2

def nearest_shapes(
    *,
    fixed: Shape,
    n_layer: tuple[int, int],
    d_model: tuple[int, int],
    d_head: tuple[int, int],
    kv_group: tuple[int, int],
    aspect: tuple[float, float],
    ff_ratio: tuple[float, float],
    multiple_of: int,
    even_heads: bool,
    experts_follow: bool = False,
    values_follow: bool = False,
    goals: Sequence[tuple[Quantity, float, bool]],
    convention: str,
    seq: int,
    limit: int,
    threads: int,
    exhaustive: bool,
) -> tuple[dict[str, np.ndarray[Any, Any]], int, int]: ...
