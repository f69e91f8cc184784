"""The kernels of cross-entropy against their definition, in the interpreter."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import cross_entropy, cross_entropy_backward, cross_entropy_library, last_dispatch, reference
from isoflop.kernels.configurations import configuration
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
TILE = {dtype: configuration("cross_entropy_backward", width=64, dtype=dtype) for dtype in DTYPES}
EDGES = [
    (dtype, tile["rows"] + i, tile["columns"] + j, tile["depth"] + k)
    for dtype, tile in TILE.items()
    for i, j, k in ((-1, 0, 1), (0, 1, -1), (1, -1, 0), (0, 0, 0))
    if dtype != torch.float16
]


class Inputs(NamedTuple):
    x: Tensor
    weight: Tensor
    targets: Tensor
    weights: Tensor | None = None

    def of(self, models: slice) -> Inputs:
        return Inputs(*(None if each is None else each[models] for each in self))


def inputs(
    models: int, rows: int, vocabulary: int, width: int, dtype: torch.dtype, *, weighted: bool = False
) -> Inputs:
    generator = torch.Generator().manual_seed(rows + vocabulary + width)
    draw = partial(torch.randn, generator=generator)
    x, weight = 2 * draw(models, rows, width), draw(models, vocabulary, width) / width**0.5
    targets = torch.randint(vocabulary, (models, rows), generator=generator)
    weights = fenced(draw(models, rows).abs()) if weighted else None
    return Inputs(fenced(x.to(dtype)), fenced(weight.to(dtype)), targets, weights)


def by_kernels(
    given: Inputs, *, one_pass: bool = False, dlosses: Tensor | None = None, **options: Any
) -> dict[str, Tensor]:
    with fenced_empties():
        loss = cross_entropy.forward(*given, **options, gradient=one_pass)
        kept = given[:3], (loss.lse, loss.total), given[3]
        grads = cross_entropy_backward.backward(
            *kept[0], *kept[1], kept[2], dlosses=dlosses, want_dx=not one_pass, **options
        )
    dx = loss.dx if one_pass else grads.dx
    assert dx is not None
    named = {"mean": loss.mean, "losses": loss.losses, "lse": loss.lse, "dx": dx, "dweight": grads.dweight}
    return {name: value.clone() for name, value in named.items()}


def by_definition(
    given: Inputs, dtype: torch.dtype, *, dlosses: Tensor | None = None, **options: Any
) -> dict[str, Tensor]:
    x, weight = (each.detach().to(dtype).requires_grad_() for each in given[:2])
    define = reference.on_models(partial(reference.linear_cross_entropy, **options))
    losses = reference.on_models(partial(reference.linear_cross_entropy, reduction="none", **options))(
        x, weight, *given[2:]
    )
    mean = define(x, weight, *given[2:])
    if dlosses is None:
        mean.sum().backward()
    else:
        losses.backward(dlosses.to(losses.dtype))
    wide = torch.promote_types(dtype, torch.float32)
    lse = (x @ weight.mT).to(wide).logsumexp(-1)
    named = {"mean": mean, "losses": losses, "lse": lse, "dx": x.grad, "dweight": weight.grad}
    return {name: value.detach() for name, value in named.items()}


def assert_right(given: Inputs, *, one_pass: bool = False, **options: Any) -> None:
    actual = by_kernels(given, one_pass=one_pass, **options)
    plain, exact = (by_definition(given, dtype, **options) for dtype in (given.x.dtype, torch.float64))
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])
    assert actual.keys() == exact.keys()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("one_pass", [False, True], ids=["two passes", "one pass"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_every_form_matches_its_definition(dtype: torch.dtype, one_pass: bool, weighted: bool, z_loss: float) -> None:
    given = inputs(2, 70, 75, 24, dtype, weighted=weighted)
    given.targets[:, 3::5] = -100
    assert_right(given, one_pass=one_pass, z_loss=z_loss)


@pytest.mark.parametrize("way", ["two passes", "one pass", "library"])
def test_a_z_loss_of_its_own_gives_each_model_the_bits_it_has_alone(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, weights = inputs(3, 70, 75, 24, torch.float32), torch.tensor([0.1, 0.0, 0.3], dtype=torch.float64)
    widest = {"cross_entropy_backward": 8 if way == "library" else 64}
    monkeypatch.setattr(cross_entropy_backward, "library_past", widest.__getitem__)
    together = by_kernels(given, one_pass=way == "one pass", z_loss=weights)
    for k, weight in enumerate(weights.tolist()):
        alone = by_kernels(given.of(slice(k, k + 1)), one_pass=way == "one pass", z_loss=weight)
        assert all(torch.equal(value, together[name][k : k + 1]) for name, value in alone.items())


def test_the_entropy_is_the_mean_without_the_z_loss() -> None:
    given = inputs(2, 70, 75, 24, torch.float32, weighted=True)
    given.targets[:, 3::5] = -100
    without, scaled = (cross_entropy.forward(*given, z_loss=each) for each in (0.0, 0.3))
    assert without.entropy is None
    assert scaled.entropy is not None
    torch.testing.assert_close(scaled.entropy, without.mean)
    assert (scaled.mean > without.mean + 0.3).all()


def test_z_losses_of_another_form_are_refused() -> None:
    given = inputs(2, 16, 16, 16, torch.float32)
    with pytest.raises(KernelError, match=r"z_loss is \(3,\) float64 .* needed: one number, or \(2,\) float64"):
        cross_entropy.forward(*given, z_loss=torch.zeros(3, dtype=torch.float64))
    with pytest.raises(KernelError, match="z_loss has gaps in memory"):
        cross_entropy.forward(*given, z_loss=torch.zeros(2, 2, dtype=torch.float64)[:, 0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("of_mean", [True, False])
def test_gradients_of_wide_rows_are_the_librarys_and_say_so(
    dtype: torch.dtype, parts: int, of_mean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = inputs(2, 170, 330, 40, dtype, weighted=True)
    given.targets[:, 3::5] = -100
    monkeypatch.setattr(cross_entropy_library, "ELEMENTS", 170 * (128 if parts == 3 else 384))
    dlosses = None if of_mean else torch.randn(2, 170, generator=torch.Generator().manual_seed(2))
    for widest, ran in ((40, "triton"), (39, "triton" if dtype == torch.float16 else "library")):
        monkeypatch.setattr(cross_entropy_backward, "library_past", {"cross_entropy_backward": widest}.__getitem__)
        assert_right(given, z_loss=0.1, dlosses=dlosses)
        assert last_dispatch()["linear_cross_entropy_backward"] == ran


@pytest.mark.parametrize(("dtype", "rows", "vocabulary", "width"), EDGES)
def test_sizes_round_the_edge_of_every_tile(dtype: torch.dtype, rows: int, vocabulary: int, width: int) -> None:
    given = inputs(1, rows, vocabulary, width, dtype)
    assert_right(given, one_pass=cross_entropy.gives_gradient(given.x, given.weight))
    assert_right(given)


@pytest.mark.parametrize(
    ("rows", "vocabulary", "width"), [(1, 1, 1), (1, 40, 7), (40, 1, 33), (3, 5, 100), (33, 33, 97)]
)
def test_single_elements_and_rows_in_several_pieces(rows: int, vocabulary: int, width: int) -> None:
    assert_right(inputs(1, rows, vocabulary, width, torch.float32))


@pytest.mark.parametrize("programs", [1, 2, 6])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_number_of_programs_may_share_a_stream(
    programs: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "PROGRAMS", programs)
    assert_right(inputs(1, 100, 150, 40, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_of_single_losses_match_their_definition(dtype: torch.dtype) -> None:
    given = inputs(2, 20, 30, 24, dtype, weighted=True)
    assert_right(given, dlosses=torch.randn(2, 20, generator=torch.Generator().manual_seed(1)), z_loss=0.01)


def test_the_gradient_of_the_mean_is_multiplied_by_dmean() -> None:
    given = inputs(2, 20, 30, 24, torch.float32)
    loss = cross_entropy.forward(*given)
    scaled, plain = (
        cross_entropy_backward.backward(*given[:3], loss.lse, loss.total, dmean=dmean)
        for dmean in (torch.tensor([2.0, 0.5]), None)
    )
    for ours, theirs in zip(scaled[:2], plain[:2], strict=True):
        torch.testing.assert_close(ours, theirs * torch.tensor([2.0, 0.5]).view(2, 1, 1))


def test_a_gradient_is_of_the_mean_or_of_the_losses() -> None:
    given = inputs(1, 5, 30, 16, torch.float32)
    loss = cross_entropy.forward(*given)
    with pytest.raises(KernelError, match="of the mean or of the losses: dmean or dlosses"):
        cross_entropy_backward.backward(*given[:3], loss.lse, loss.total, dmean=torch.ones(1), dlosses=loss.losses)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_losses_of_equal_logits_are_the_log_of_the_vocabulary(dtype: torch.dtype) -> None:
    loss = cross_entropy.forward(
        torch.ones(1, 2, 16, dtype=dtype), torch.ones(1, 100, 16, dtype=dtype), torch.tensor([[0, 99]])
    )
    torch.testing.assert_close(loss.mean, torch.tensor([100.0]).log())


def test_hits_are_those_of_argmax_and_the_first_of_equal_logits_wins() -> None:
    given = inputs(2, 50, 100, 16, torch.float32)
    for each in (given.x, given.weight):  # eighths: logits are exact in any order of their sums, and equal ones equal
        each.copy_((8 * each).round() / 8)
    given.weight[:, 90] = given.weight[:, 10]
    given.x[0, 0], given.x[0, 1] = 100 * given.weight[0, 10], 100 * given.weight[0, 10]
    given.targets[:] = (given.x.double() @ given.weight.double().mT).argmax(-1)
    given.targets[:, 1::3] = 99
    given.targets[0, :2] = torch.tensor([10, 90])
    given.targets[:, 7] = -100
    hits = cross_entropy.forward(*given, hits=True).hits
    assert hits is not None
    expected = reference.on_models(reference.argmax_hits)(*given[:3])
    assert torch.equal(hits, expected)
    assert hits[0, :2].tolist() == [True, False]
    assert 0 < hits.sum() < hits.numel()


def test_a_label_out_of_range_has_a_loss_of_nan_and_no_other_has() -> None:
    given = inputs(1, 5, 30, 16, torch.float32)
    given.targets[0, 1], given.targets[0, 3] = 30, -1
    with fenced_empties():
        loss = cross_entropy.forward(*given, gradient=True)
        dx = cross_entropy_backward.backward(*given[:3], loss.lse, loss.total).dx
    assert loss.losses.isnan().tolist() == [[False, True, False, True, False]]
    assert loss.mean.isnan().all()
    assert loss.dx is not None
    assert dx is not None
    assert dx.isnan().all(-1).tolist() == loss.dx.isnan().all(-1).tolist() == loss.losses.isnan().tolist()


def test_labels_out_of_range_are_refused_where_asked() -> None:
    given = inputs(1, 5, 30, 16, torch.float32)
    given.targets[0, 0], given.targets[0, 3] = -100, 30
    with pytest.raises(KernelError, match=r"targets\[0, 3\] is 30; labels are 0 to 29, or -100 to be ignored"):
        cross_entropy.forward(*given, check_labels=True)


def test_any_label_may_be_the_ignored_one() -> None:
    given = inputs(1, 20, 6, 16, torch.float32)
    assert (given.targets == 1).any()
    assert_right(given, ignore_index=1)
    assert_right(given, one_pass=True, ignore_index=1)


def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = inputs(2, 70, 150, 70, torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("one_pass", [False, True])
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype, one_pass: bool) -> None:
    given = inputs(3, 70, 75, 24, dtype, weighted=True)
    together = by_kernels(given, one_pass=one_pass)
    for k in range(3):
        alone = by_kernels(given.of(slice(k, k + 1)), one_pass=one_pass)
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


def test_results_of_an_earlier_call_are_written_again() -> None:
    first, second = (inputs(2, rows, 75, 24, torch.float32) for rows in (40, 40))
    second.x.neg_()
    loss = cross_entropy.forward(*first, hits=True)
    grads = cross_entropy_backward.backward(*first[:3], loss.lse, loss.total)
    again = cross_entropy.forward(*second, hits=True, out=loss)
    grads_again = cross_entropy_backward.backward(*second[:3], loss.lse, loss.total, out=grads)
    assert again.losses is loss.losses
    assert grads_again.dweight is grads.dweight
    assert torch.equal(loss.losses, cross_entropy.forward(*second).losses)
    with pytest.raises(KernelError, match=r"losses of out is \(2, 40\) float32; needed: \(2, 41\) float32"):
        cross_entropy.forward(*inputs(2, 41, 75, 24, torch.float32), hits=True, out=loss)
    with pytest.raises(KernelError, match=r"hits of out is \(2, 40\) bool; needed: absent"):
        cross_entropy.forward(*first, out=loss)


def test_no_gradient_from_one_pass_where_the_width_is_several_pieces() -> None:
    with pytest.raises(KernelError, match="no gradient from one pass for a vocabulary of 30 and width 400"):
        cross_entropy.forward(*inputs(1, 5, 30, 400, torch.float32), gradient=True)


@pytest.mark.parametrize("gradient", [False, True])
def test_counted_products_and_bytes_of_the_forward_pass_are_those_of_the_formula(gradient: bool) -> None:
    given = inputs(1, 64, 128, 64, torch.bfloat16)
    with counted() as counts:
        loss = cross_entropy.forward(*given, gradient=gradient)
    assert counts.flops == cross_entropy.flops(64, 128, 64, gradient=gradient)
    own = 2 * loss.parts.nbytes + loss.losses.nbytes  # written, and read to be joined and added up
    least = cross_entropy.least_bytes(64, 128, 64, 2, gradient=gradient)
    assert counts.read + counts.written == least + own + (loss.total.nbytes if gradient else 0)


@pytest.mark.parametrize(("width", "pieces"), [(64, 1), (512, 4)])
def test_counted_products_and_bytes_of_the_backward_pass_are_those_of_the_formula(
    width: int, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy_backward, "library_past", lambda op: width)
    given = inputs(1, 64, 128, width, torch.bfloat16)
    loss = cross_entropy.forward(*given)
    with counted() as counts:
        grads = cross_entropy_backward.backward(*given[:3], loss.lse, loss.total)
    assert counts.flops == cross_entropy_backward.flops(64, 128, width, pieces=pieces)
    own = sum(2 * each.nbytes for each in (grads.dx_parts, grads.dweight_parts) if each is not None)
    assert counts.read + counts.written == cross_entropy_backward.least_bytes(64, 128, width, 2) + own
