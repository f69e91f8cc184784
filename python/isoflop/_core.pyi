"""Types of the C++ extension; the public face is isoflop.shape, isoflop.counting and isoflop.hardware."""

from enum import Enum
from typing import final

__version__: str
CONVENTIONS: tuple[Convention, ...]

class Pairs(Enum):
    NONE = 0
    FULL = 1
    CAUSAL = 2
    HALVED = 3

class Params(Enum):
    NONE = 0
    KAPLAN = 1
    TOTAL = 2

@final
class Shape:
    def __init__(
        self,
        *,
        n_layer: int,
        d_model: int,
        n_head: int,
        n_kv_head: int,
        d_head: int,
        d_ff: int,
        n_ctx: int,
        n_vocab: int,
        gated: bool,
        rms: bool,
        learned_position: bool,
        bias: bool,
        tied: bool,
    ) -> None: ...
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

@final
class Convention:
    @property
    def name(self) -> str: ...
    @property
    def params(self) -> Params: ...
    @property
    def terms(self) -> list[str]: ...
    @property
    def pairs(self) -> Pairs: ...
    @property
    def training_factor(self) -> float: ...
    @property
    def source(self) -> str: ...

def attention_pairs(seq: int, pairs: Pairs) -> float: ...
def forward_terms(shape: Shape, batch: int, seq: int, pairs: Pairs) -> dict[str, float]: ...
def kaplan_table1(shape: Shape, seq: int) -> list[tuple[str, int, float]]: ...
def forward_flops(shape: Shape, convention: str, batch: int, seq: int) -> float: ...
def training_flops(shape: Shape, convention: str, batch: int, seq: int) -> float: ...
def cpu_features() -> list[str]: ...
