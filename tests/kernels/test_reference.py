"""The definition of each op, held against its formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from isoflop.errors import KernelError
from isoflop.kernels import reference as ops


@pytest.fixture
def randn() -> Callable[..., Tensor]:
    return partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_linear_cross_entropy_is_the_negative_log_softmax_of_the_target(randn: Callable[..., Tensor]) -> None:
    x, weight = randn(2, 3, 5), randn(7, 5)
    targets = torch.tensor([[0, 6, 3], [3, 1, 2]])
    logits = torch.einsum("bsd,vd->bsv", x, weight)
    log_probability = logits - logits.exp().sum(-1, keepdim=True).log()
    expected = -log_probability.gather(-1, targets[..., None])[..., 0]
    assert_close(ops.linear_cross_entropy(x, weight, targets, reduction="none"), expected)
    assert_close(ops.linear_cross_entropy(x, weight, targets), expected.mean())


def test_weights_z_loss_and_ignored_targets_enter_the_mean_as_written(randn: Callable[..., Tensor]) -> None:
    x, weight, weights = randn(1, 4, 5), randn(7, 5), torch.tensor([[1.0, 0.5, 4.0, 2.0]])
    targets = torch.tensor([[0, 6, -100, 3]])
    lse = (x @ weight.T).logsumexp(-1)
    plain = lse - (x @ weight.T).gather(-1, targets.clamp(min=0)[..., None])[..., 0] + 0.1 * lse**2
    expected = plain * torch.tensor([[1.0, 0.5, 0.0, 2.0]])
    losses = ops.linear_cross_entropy(x, weight, targets, weights, reduction="none", z_loss=0.1)
    assert_close(losses, expected)
    mean = ops.linear_cross_entropy(x, weight, targets, weights, z_loss=0.1)
    assert_close(mean, expected.sum() / 3.5)
    unweighted = ops.linear_cross_entropy(x, weight, targets)
    flat = (x @ weight.T).flatten(0, 1)
    assert_close(unweighted, torch.nn.functional.cross_entropy(flat, targets.flatten()))


def test_hits_are_targets_with_the_largest_logit_and_the_first_of_equals(randn: Callable[..., Tensor]) -> None:
    x, weight = randn(1, 1, 5).expand(1, 3, 5), randn(4, 5)
    weight[3] = weight[1] = x[0, 0] * 10
    assert ops.argmax_hits(x, weight, torch.tensor([[1, 3, 0]])).tolist() == [[True, False, False]]


def test_the_noise_scale_is_unbiased_for_gradients_with_known_noise(randn: Callable[..., Tensor]) -> None:
    mean, noise, micro, batch = torch.tensor([3.0, -4.0]).double(), torch.tensor([2.0, 1.0]).double(), 4, 16
    draws = mean + noise * randn(40_000, batch // micro, 2) / micro**0.5
    squares = draws.square().sum(-1).mean(), draws.mean(1).square().sum(-1).mean()
    signal, trace, simple = ops.noise_scale(*squares, micro_batch=micro, batch=batch)
    assert float(signal) == pytest.approx(25.0, rel=0.01)
    assert float(trace) == pytest.approx(5.0, rel=0.02)
    assert float(simple) == pytest.approx(0.2, rel=0.02)


def test_a_noise_scale_needs_batches_of_two_sizes() -> None:
    with pytest.raises(KernelError, match="needs 0 < micro_batch < batch, not 8 and 8"):
        ops.noise_scale(torch.ones(1), torch.ones(1), micro_batch=8, batch=8)


def test_accumulated_gradients_come_with_the_square_of_the_last(randn: Callable[..., Tensor]) -> None:
    sums, grads = [randn(2, 3), randn(4)], [randn(2, 3), randn(4)]
    added, square = ops.accumulate(sums, grads)
    assert all(torch.equal(total, a + b) for total, a, b in zip(added, sums, grads, strict=True))
    assert_close(square, torch.cat([each.flatten() for each in grads]).norm() ** 2)


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (1, 6)])
def test_orthogonalise_sends_each_singular_value_through_the_quintic_five_times(
    randn: Callable[..., Tensor], shape: tuple[int, int]
) -> None:
    u = randn(*shape)
    left, values, right = torch.linalg.svd(u, full_matrices=False)
    values = values / u.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    assert_close(ops.orthogonalise(u), left * values @ right, 1e-5)


def test_muon_moves_along_the_orthogonal_momentum_and_decays_apart(randn: Callable[..., Tensor]) -> None:
    p, g, m = randn(8, 2), randn(8, 2), randn(8, 2)
    hyper = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    (moved,), (mean,) = ops.muon([p], [g], [m], **hyper)
    assert_close(mean, 0.9 * m + g)
    assert_close(moved, 0.95 * p - 0.1 * 2.0 * ops.orthogonalise(g + 0.9 * mean))
    (plain,), _ = ops.muon([p], [g], [m], nesterov=False, scaled=False, **hyper)
    assert_close(plain, 0.95 * p - 0.1 * ops.orthogonalise(mean))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_losses_of_narrow_types_are_float32(dtype: torch.dtype) -> None:
    loss = ops.linear_cross_entropy(
        torch.ones(1, 2, 4, dtype=dtype), torch.ones(3, 4, dtype=dtype), torch.zeros(1, 2).long()
    )
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(1.0986122887)


def test_norms_follow_their_formulas(randn: Callable[..., Tensor]) -> None:
    x, gain, bias = randn(2, 3, 8), randn(8), randn(8)
    centred = x - x.mean(-1, keepdim=True)
    layer = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain
    rms = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain
    assert_close(ops.norm(x, gain, None, kind="layer"), layer)
    assert_close(ops.norm(x, gain, bias, kind="layer"), layer + bias)
    assert_close(ops.norm(x, gain, None, kind="rms"), rms)
    assert_close(ops.norm(x, gain, bias, kind="rms"), rms + bias)


def test_rope_preserves_the_norm_of_every_pair(randn: Callable[..., Tensor]) -> None:
    x = randn(2, 3, 40, 8)
    turned = ops.rope(x)
    for half in (0, 1, 2, 3):
        pair = [half, half + 4]
        assert_close(turned[..., pair].norm(dim=-1), x[..., pair].norm(dim=-1), 1e-6)
    assert_close(turned[:, :, 0], x[:, :, 0])


def test_rope_turns_pair_i_by_the_position_times_base_to_minus_2i_over_d_head() -> None:
    x = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(1, 1, 20, 6)
    turned = ops.rope(x, base=100.0)[0, 0]
    angle = torch.arange(20)[:, None] * 100.0 ** (-2 * torch.arange(3, dtype=torch.float64) / 6)
    assert_close(turned, torch.cat((angle.cos(), angle.sin()), dim=-1), 1e-5)


def test_rope_scores_depend_on_the_distance_alone(randn: Callable[..., Tensor]) -> None:
    q, k = (randn(1, 1, 1, 8).expand(1, 1, 32, 8) for _ in range(2))
    scores = (ops.rope(q) @ ops.rope(k).transpose(-1, -2))[0, 0]
    for distance in range(-8, 9):
        diagonal = scores.diagonal(distance)
        assert_close(diagonal, diagonal[0].expand_as(diagonal), 1e-5)
    assert float(scores.diagonal(1)[0] - scores.diagonal(9)[0]) != pytest.approx(0.0, abs=1e-3)


def test_linear_adds_bias_and_residual(randn: Callable[..., Tensor]) -> None:
    x, weight, bias, residual = randn(2, 3, 5), randn(4, 5), randn(4), randn(2, 3, 4)
    product = torch.einsum("bsi,oi->bso", x, weight)
    assert_close(ops.linear(x, weight, bias, residual), product + bias + residual)
    assert_close(ops.linear(x, weight, residual=residual), product + residual)


@pytest.mark.parametrize("base", [None, 50.0])
def test_queries_keys_and_values_are_rows_of_the_weight_in_that_order(
    randn: Callable[..., Tensor], base: float | None
) -> None:
    x, gain, shift, weight, bias = randn(2, 5, 6), randn(6), randn(6), randn(32, 6), randn(32)
    heads = {"kind": "rms", "n_head": 4, "n_kv_head": 2, "base": base}
    q, k, v = ops.norm_qkv(x, gain, shift, weight, bias, **heads)
    n = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain + shift
    for made, first in ((q, 0), (k, 16), (v, 24)):
        for head in range(made.shape[1]):
            rows = slice(first + 4 * head, first + 4 * head + 4)
            straight = n @ weight[rows].T + bias[rows]
            turned = straight if base is None or made is v else ops.rope(straight[:, None], base=base)[:, 0]
            assert_close(made[:, head], turned)


def test_attention_is_the_masked_softmax_written_out(randn: Callable[..., Tensor]) -> None:
    q, k, v = (randn(2, 3, 6, 4) for _ in range(3))
    scores = q @ k.transpose(-1, -2) / 2.0
    scores = scores.masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)
    assert_close(ops.attention(q, k, v), scores.softmax(-1) @ v)


@pytest.mark.parametrize(("mask", "first"), [({"causal": False}, -6), ({"window": 1}, 0), ({"window": 3}, -2)], ids=str)
def test_attention_sees_what_its_mask_leaves(randn: Callable[..., Tensor], mask: dict[str, Any], first: int) -> None:
    q, k, v = (randn(2, 3, 6, 4) for _ in range(3))
    scores = 0.3 * q @ k.transpose(-1, -2)
    seen = torch.ones(6, 6).triu(first).bool() & torch.ones(6, 6).tril(6 if "causal" in mask else 0).bool()
    expected = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v
    assert_close(ops.attention(q, k, v, scale=0.3, **mask), expected)


def test_a_window_is_causal_and_holds_the_query() -> None:
    q = torch.ones(1, 1, 2, 2)
    with pytest.raises(KernelError, match="needs a causal mask"):
        ops.attention(q, q, q, causal=False, window=1)
    with pytest.raises(KernelError, match="a query sees itself at least"):
        ops.attention(q, q, q, window=0)


@pytest.mark.parametrize("changed", [1, 4, 6])
def test_attention_is_causal(randn: Callable[..., Tensor], changed: int) -> None:
    q, k, v = (randn(1, 2, 7, 4) for _ in range(3))
    before = ops.attention(q, k, v)
    for tensor in (q, k, v):
        tensor[:, :, changed] += 1
    after = ops.attention(q, k, v)
    assert torch.equal(before[:, :, :changed], after[:, :, :changed])
    assert not torch.allclose(before[:, :, changed], after[:, :, changed])


@pytest.mark.parametrize("n_kv_head", [1, 2, 3])
def test_grouped_heads_equal_repeated_heads(randn: Callable[..., Tensor], n_kv_head: int) -> None:
    q, k, v = randn(2, 6, 5, 4), randn(2, n_kv_head, 5, 4), randn(2, n_kv_head, 5, 4)
    each = 6 // n_kv_head
    repeated = ops.attention(q, k.repeat_interleave(each, dim=1), v.repeat_interleave(each, dim=1))
    assert_close(ops.attention(q, k, v), repeated)


def test_mlp_follows_the_formula_of_each_activation(randn: Callable[..., Tensor]) -> None:
    x, w_out, b_out = randn(2, 3, 4), randn(4, 6), randn(4)
    plain, gated = (randn(6, 4), randn(6)), (randn(12, 4), randn(12))
    hidden = x @ plain[0].T + plain[1]
    gate, value = x @ gated[0][:6].T + gated[1][:6], x @ gated[0][6:].T + gated[1][6:]
    expected = {
        "gelu": hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)),
        "relu2": hidden.clamp(min=0) ** 2,
        "swiglu": gate / (1 + (-gate).exp()) * value,
    }
    for kind, activated in expected.items():
        w_in, b_in = gated if kind == "swiglu" else plain
        assert_close(ops.mlp(x, w_in, b_in, w_out, b_out, kind=kind), activated @ w_out.T + b_out)
        assert_close(ops.mlp(x, w_in, None, w_out, None, kind=kind), ops.activation(x @ w_in.T, kind=kind) @ w_out.T)


def test_embedding_adds_the_position_of_each_token(randn: Callable[..., Tensor]) -> None:
    tokens, table, positions = torch.tensor([[2, 0, 2]]), randn(3, 4), randn(5, 4)
    assert torch.equal(ops.embed(tokens, table), table[tokens])
    assert torch.equal(ops.embed(tokens, table, positions), table[tokens] + positions[:3])


def test_gradients_agree_with_finite_differences(randn: Callable[..., Tensor]) -> None:
    def leaf(*shape: int) -> Tensor:
        return randn(*shape).requires_grad_()

    tokens = torch.tensor([[2, 0, 2]])
    assert gradcheck(partial(ops.embed, tokens), (leaf(3, 4), leaf(5, 4)))
    for kind in ("layer", "rms"):
        assert gradcheck(partial(ops.norm, kind=kind), (leaf(2, 4), leaf(4), leaf(4)))
    assert gradcheck(ops.linear, (leaf(2, 3), leaf(4, 3), leaf(4), leaf(2, 4)))
    heads = partial(ops.norm_qkv, kind="layer", n_head=2, n_kv_head=1, base=10.0)
    assert gradcheck(heads, (leaf(1, 3, 4), leaf(4), leaf(4), leaf(8, 4), leaf(8)))
    assert gradcheck(ops.rope, (leaf(1, 2, 3, 4),))
    assert gradcheck(ops.attention, (leaf(1, 2, 3, 2), leaf(1, 1, 3, 2), leaf(1, 1, 3, 2)))
    for kind, rows in (("gelu", 3), ("relu2", 3), ("swiglu", 6)):
        assert gradcheck(partial(ops.mlp, kind=kind), (leaf(2, 2), leaf(rows, 2), leaf(rows), leaf(2, 3), leaf(2)))
    mixture = partial(ops.moe, kind="gelu", top_k=2, renormalise=True)
    experts = leaf(3, 2), leaf(3, 4, 2), leaf(3, 2, 4)
    assert gradcheck(lambda *given: mixture(*given)[:2], (leaf(1, 3, 2), *experts))
    targets = torch.tensor([[1, 0, 3]])
    for reduction in ("mean", "none"):
        loss = partial(ops.linear_cross_entropy, targets=targets, reduction=reduction)
        assert gradcheck(lambda x, w, loss=loss: loss(x, w), (leaf(1, 3, 2), leaf(4, 2)))
        assert gradcheck(lambda x, w, loss=loss: loss(x, w, z_loss=0.1), (leaf(1, 3, 2), leaf(4, 2)))
