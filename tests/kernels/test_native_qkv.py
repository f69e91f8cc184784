"""The native norm, projection and rotary positions against their definition, on every instruction set here."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.native import heads, norm, qkv
from proof.native import Tensors, assert_native, by_instruction_set


def inputs(
    models: int, batch: int, seq: int, width: int, d_head: int, n_head: int, n_kv_head: int,
    without: tuple[str, ...] = (),
) -> Tensors:  # fmt: skip
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width + seq))
    outputs = (n_head + 2 * n_kv_head) * d_head
    drawn = {
        "grad_q": draw(models, batch, n_head, seq, d_head),
        "grad_k": draw(models, batch, n_kv_head, seq, d_head),
        "grad_v": draw(models, batch, n_kv_head, seq, d_head),
        "x": 2 * draw(models, batch, seq, width) + 0.5,
        "gain": 1 + draw(models, width) / 4,
        "shift": draw(models, width),
        "weight": draw(models, outputs, width) / width**0.5,
        "bias": draw(models, outputs),
    }
    return {name: None if name in without else each for name, each in drawn.items()}


def by_native(
    *, base: float | None, grad_q: Tensor, grad_k: Tensor, grad_v: Tensor, x: Tensor, gain: Tensor,
    shift: Tensor | None, weight: Tensor, bias: Tensor | None, **settings: Any,
) -> dict[str, Tensor]:  # fmt: skip
    q, k, v, mean, rstd = qkv.forward(x, gain, shift, weight, bias, base=base, **settings)
    rows = torch.cat([grad_q, grad_k, grad_v], 2).transpose(2, 3).flatten(3)
    made = qkv.product_gradients(
        *heads.split_projection(rows, q.shape[2], k.shape[2]), x, gain, shift, weight, mean, rstd,
        has_bias=bias is not None, base=base,
    )  # fmt: skip
    named = {"q": q, "k": k, "v": v, "dweight": made.dweight, "dbias": made.dbias, "dn": made.dn}
    return {name: value for name, value in named.items() if value is not None}


def by_definition(
    *, kind: str, n_head: int, n_kv_head: int, base: float | None, x: Tensor, gain: Tensor, shift: Tensor | None,
    weight: Tensor, bias: Tensor | None, n: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    """``n``, noughts added to the normalised rows, has the gradient of these."""
    heads = [n_head, n_kv_head, n_kv_head]
    with torch.no_grad():
        normed = reference.on_models(partial(reference.norm, kind=kind))(x, gain, shift)
    packed = reference.on_models(reference.linear)(normed + n, weight, bias)
    apart = packed.unflatten(-1, (sum(heads), -1)).transpose(2, 3)
    q, k, v = torch.split(apart, heads, dim=2)
    if base is not None:
        q, k = (reference.on_models(partial(reference.rope, base=base))(each) for each in (q, k))
    return {"q": q, "k": k, "v": v}


def assert_right(given: Tensors, instruction_set: str, **settings: Any) -> None:
    def native(**tensors: Tensor) -> dict[str, Tensor]:
        tensors.pop("n")
        return by_native(**tensors, **settings)

    noughts = {"n": torch.zeros_like(given["x"])}
    assert_native(native, partial(by_definition, **settings), given | noughts, instruction_set)


@by_instruction_set
@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("base", [None, 10_000.0], ids=["plain", "rope"])
@pytest.mark.parametrize(("n_head", "n_kv_head"), [(1, 1), (4, 2)])
def test_every_form_matches_its_definition(
    instruction_set: str, kind: str, base: float | None, n_head: int, n_kv_head: int
) -> None:
    given = inputs(2, 2, 19, 20, 6, n_head, n_kv_head)
    assert_right(given, instruction_set, kind=kind, base=base, n_head=n_head, n_kv_head=n_kv_head)


@by_instruction_set
@pytest.mark.parametrize("without", [("shift",), ("bias",), ("shift", "bias")], ids=str)
def test_shift_and_bias_may_be_absent(instruction_set: str, without: tuple[str, ...]) -> None:
    given = inputs(1, 2, 7, 20, 6, 2, 1, without)
    assert_right(given, instruction_set, kind="layer", base=None, n_head=2, n_kv_head=1)


@by_instruction_set
@pytest.mark.parametrize(("batch", "seq", "width", "d_head"), [(1, 1, 1, 2), (3, 100, 48, 48), (5, 70, 65, 32)])
def test_rows_beyond_a_tile_and_heads_of_any_width(
    instruction_set: str, batch: int, seq: int, width: int, d_head: int
) -> None:
    given = inputs(16 if width == 1 else 1, batch, seq, width, d_head, 2, 2)
    assert_right(given, instruction_set, kind="rms", base=10_000.0, n_head=2, n_kv_head=2)


def test_statistics_are_those_of_the_norm() -> None:
    given = inputs(2, 3, 5, 20, 4, 2, 1)
    made = qkv.forward(*(given[name] for name in ("x", "gain", "shift", "weight")), kind="layer", n_head=2, n_kv_head=1)
    _, _, mean, rstd = norm.forward(given["x"].flatten(1, 2), given["gain"], kind="layer")
    torch.testing.assert_close(made.mean.flatten(1), mean)
    torch.testing.assert_close(made.rstd.flatten(1), rstd)


def test_heads_that_do_not_divide_the_weight_are_refused() -> None:
    given = inputs(1, 1, 3, 4, 6, 2, 1)
    weight = given["weight"][:, :-1].contiguous()
    with pytest.raises(KernelError, match="weight has 23 rows, which do not divide"):
        qkv.forward(given["x"], given["gain"], None, weight, kind="rms", n_head=2, n_kv_head=1)
