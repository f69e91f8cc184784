"""Norm, projection and rotary positions in one kernel against their definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import linear_backward, qkv, qkv_backward, reference
from isoflop.kernels.configurations import table
from isoflop.kernels.dispatch import last_dispatch
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
KINDS = ["layer", "rms"]
SMALL = {
    "qkv": {"rows": 32, "pairs": 16, "depth": 16},
    "qkv_rows": {"rows": 32, "columns": 32, "pairs": 16},
    "qkv_weight": {"pairs": 16, "columns": 32, "depth": 16},
}
MANY = linear_backward.STEPS * SMALL["qkv_weight"]["depth"] + 1  # rows that two programs share out


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    with tiles(**SMALL):
        yield


class Case(NamedTuple):
    """Sizes and settings; the tensors follow from them."""

    batch: int = 2
    seq: int = 13
    width: int = 23
    n_head: int = 2
    n_kv_head: int = 1
    d_head: int = 6
    kind: str = "layer"
    base: float | None = 10_000.0
    shift: bool = True
    bias: bool = True
    dtype: torch.dtype = torch.float32
    models: int = 1

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, "n_head": self.n_head, "n_kv_head": self.n_kv_head, "base": self.base}

    @property
    def tensors(self) -> dict[str, Tensor | None]:
        draw = partial(torch.randn, self.models, generator=torch.Generator().manual_seed(self.seq + self.width))
        rows, outputs = (self.batch, self.seq, self.width), (self.n_head + 2 * self.n_kv_head) * self.d_head
        heads = [(self.batch, count, self.seq, self.d_head) for count in (self.n_head, self.n_kv_head)]
        drawn = {
            "x": 3 * draw(*rows) + 1,
            "gain": 1 + draw(self.width) / 4,
            "shift": draw(self.width) if self.shift else None,
            "weight": draw(outputs, self.width),
            "bias": draw(outputs) if self.bias else None,
            "dq": draw(*heads[0]),
            "dk": draw(*heads[1]),
            "dv": draw(*heads[1]),
            "dtotal": draw(*rows),
        }
        return {name: None if each is None else fenced(each.to(self.dtype)) for name, each in drawn.items()}


def by_kernels(case: Case, given: dict[str, Any]) -> dict[str, Tensor]:
    layer = [given[name] for name in ("x", "gain", "shift", "weight")]
    grads = [given[name] for name in ("dq", "dk", "dv")]
    with fenced_empties():
        q, k, v, mean, rstd, *_ = qkv.forward(*layer, given["bias"], **case.settings)
        dx, dgain, dshift, dweight, dbias, *_ = qkv_backward.backward(
            *grads, *layer, mean, rstd, given["dtotal"], has_bias=case.bias, base=case.base
        )
    named = {"q": q, "k": k, "v": v, "dx": dx, "dgain": dgain, "dshift": dshift, "dweight": dweight, "dbias": dbias}
    return {name: value for name, value in named.items() if value is not None}


def by_definition(case: Case, given: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    held = {
        name: None if each is None else each.detach().to(dtype).requires_grad_(not name.startswith("d"))
        for name, each in given.items()
    }
    leaves = [held[name] for name in ("x", "gain", "shift", "weight", "bias")]
    results = reference.on_models(partial(reference.norm_qkv, **case.settings))(*leaves)
    torch.autograd.backward((*results, leaves[0]), [held[name] for name in ("dq", "dk", "dv", "dtotal")])
    grads = {f"d{name}": held[name].grad for name in ("x", "gain", "shift", "weight", "bias") if held[name] is not None}
    return {name: value.detach() for name, value in {**dict(zip("qkv", results, strict=True)), **grads}.items()}


def assert_right(case: Case) -> None:
    given = case.tensors
    actual, plain = by_kernels(case, given), by_definition(case, given, case.dtype)
    exact = by_definition(case, given, torch.float64)
    assert actual.keys() == exact.keys()
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [None, 100.0])
@pytest.mark.parametrize("affine", [True, False])
def test_every_form_matches_the_definition(dtype: torch.dtype, kind: str, base: float | None, affine: bool) -> None:
    assert_right(Case(kind=kind, base=base, shift=affine, bias=affine, dtype=dtype, models=2))


@pytest.mark.parametrize("seq", [31, 32, 33])
@pytest.mark.parametrize(
    ("width", "d_head", "n_head"), [(15, 16, 1), (16, 10, 3), (17, 32, 1), (31, 2, 17), (33, 34, 1)]
)
def test_sizes_round_the_edge_of_every_tile(seq: int, width: int, d_head: int, n_head: int) -> None:
    case = Case(batch=1, seq=seq, width=width, d_head=d_head, n_head=n_head)
    assert_right(case)
    assert_right(case._replace(kind="rms", base=None, dtype=torch.bfloat16))


@pytest.mark.parametrize(("n_head", "n_kv_head"), [(1, 1), (4, 4), (6, 2), (5, 1)])
def test_heads_of_keys_may_be_fewer_than_heads_of_queries(n_head: int, n_kv_head: int) -> None:
    assert_right(Case(n_head=n_head, n_kv_head=n_kv_head))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [
    Case(n_head=4, n_kv_head=2, models=2), Case(kind="rms", base=None, d_head=5, shift=False, bias=False),
    Case(batch=1, seq=33, width=1, n_head=3, d_head=2),
], ids=["layer, turned", "rms, plain", "one column"])  # fmt: skip
def test_wide_rows_go_to_the_library_and_say_so(
    case: Case, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case._replace(dtype=dtype)
    for widest, ran in ((case.width, "triton"), (case.width - 1, "library")):
        monkeypatch.setattr(qkv, "library_past", dict.fromkeys(("qkv", "qkv_weight"), widest).__getitem__)
        assert_right(case)
        told = last_dispatch()
        assert (told["norm_qkv"], told["norm_qkv_backward"]) == (ran, ran)
    given = case.tensors
    layer = [given[name] for name in ("x", "gain", "shift", "weight")]
    made = qkv.forward(*layer, given["bias"], **case.settings)
    assert all(a is b for a, b in zip(qkv.forward(*layer, given["bias"], **case.settings, out=made), made, strict=True))


def test_one_row_one_column_and_odd_heads_without_turns() -> None:
    assert_right(Case(batch=1, seq=1, width=1, n_head=1, n_kv_head=1, d_head=2, kind="rms"))
    assert_right(Case(batch=1, seq=3, width=5, n_head=3, n_kv_head=1, d_head=1, base=None))
    assert_right(Case(batch=3, seq=1, width=5, n_head=1, n_kv_head=1, d_head=7, base=None))


def test_positions_far_along_turn_as_exactly_as_near_ones() -> None:
    assert_right(Case(batch=1, seq=1030, width=4, n_head=1, n_kv_head=1, d_head=4, kind="rms"))


@pytest.mark.parametrize("row", [0, 1, 2])
def test_shipped_tiles_match_the_definition(row: int) -> None:
    shipped = {op: table(op, None)[row] for op in SMALL}
    dtype = torch.float32 if shipped["qkv"].bits == 32 else torch.bfloat16
    with tiles(**{op: {name.lower(): n for name, n in tile.constants.items()} for op, tile in shipped.items()}):
        assert_right(Case(batch=1, seq=shipped["qkv"]["rows"] + 1, width=130, d_head=44, n_head=1, dtype=dtype))


def test_the_order_of_programs_changes_no_bit() -> None:
    case, runs = Case(batch=1, seq=MANY, width=17, dtype=torch.bfloat16, models=2), []
    given = case.tensors
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(case, given))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    case = Case(batch=1, seq=MANY, width=17, dtype=dtype, models=3)
    given = case.tensors
    together = by_kernels(case, given)
    for k in range(3):
        one = slice(k, k + 1)
        alone = by_kernels(case, {name: None if each is None else each[one] for name, each in given.items()})
        assert all(torch.equal(alone[name], together[name][one]) for name in together)


def test_the_room_of_an_earlier_call_is_filled_again() -> None:
    case = Case(seq=MANY // 2 + 1)
    given = case.tensors
    layer = [given[name] for name in ("x", "gain", "shift", "weight")]
    grads = [given[name] for name in ("dq", "dk", "dv")]
    made = qkv.forward(*layer, given["bias"], **case.settings)
    options = {"has_bias": True, "base": case.base}
    back = qkv_backward.backward(*grads, *layer, *made[3:5], given["dtotal"], **options)
    expected = [each.clone() for each in (*made[:3], *back[:5])]
    for tensor in (*made, *back[:5], *back.products, *back.norms):
        if tensor is not None:
            tensor.fill_(torch.nan)
    with fenced_empties() as allocated:
        again = qkv.forward(*layer, given["bias"], **case.settings, out=made)
        redone = qkv_backward.backward(*grads, *layer, *again[3:5], given["dtotal"], **options, out=back)
    assert not allocated
    assert all(torch.equal(a, b) for a, b in zip(expected, (*again[:3], *redone[:5]), strict=True))
    with pytest.raises(KernelError, match="norm_qkv: mean of out is"):
        qkv.forward(*layer, given["bias"], **case.settings | {"kind": "rms"}, out=made)


@pytest.mark.parametrize(("kind", "affine", "base"), [("layer", True, 100.0), ("rms", False, None)])
def test_counted_products_and_bytes_are_those_of_the_formula(kind: str, affine: bool, base: float | None) -> None:
    case = Case(2, 16, 64, 4, 2, 16, kind, base, affine, affine, torch.bfloat16)
    given = case.tensors
    layer = [given[name] for name in ("x", "gain", "shift", "weight")]
    with counted() as forward:
        made = qkv.forward(*layer, given["bias"], **case.settings)
    grads = [given[name] for name in ("dq", "dk", "dv")]
    with counted() as backward:
        qkv_backward.product_gradients(*grads, *layer, *made[3:5], None, has_bias=affine, base=base, out=None)
    rows, outputs = case.batch * case.seq, (case.n_head + 2 * case.n_kv_head) * case.d_head
    assert (forward.flops, backward.flops) == qkv.flops(rows, case.width, outputs)
    least = qkv.least_bytes(
        rows, case.seq, case.width, outputs, 2, layer=kind == "layer", shift=affine, bias=affine,
        turned=None if base is None else case.d_head,
    )  # fmt: skip
    assert (forward.read + forward.written, backward.read + backward.written) == least
