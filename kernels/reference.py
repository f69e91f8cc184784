"""The op set as plain torch: the definition that every faster implementation is compared with.

Shapes: ``x`` is (..., d); weights are (d_out, d_in) as in ``torch.nn.Linear``; attention takes (batch, heads, seq,
d_head). All functions are differentiable by autograd, keep the dtype of ``x`` (losses aside), and allocate what they
return. Each is the op of one model; ``on_models(op)`` is the op of K models, every tensor with a leading model axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.signatures import check_mask, expert_capacity


def on_models(op: Callable[..., Any]) -> Callable[..., Any]:
    """The op of K models: model k of every tensor, sequences of tensors too, meets model k of the others alone."""

    def model(k: int, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[k]
        return [model(k, each) for each in value] if isinstance(value, list | tuple) else value

    def stacked(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.stack(list(values))
        return tuple(stacked(each) for each in zip(*values, strict=True))

    def op_on_models(*args: Any, **kwargs: Any) -> Any:
        first = next(iter((*args, *kwargs.values())))
        models = range(len(first if isinstance(first, Tensor) else first[0]))
        return stacked(
            [op(*model(k, args), **{name: model(k, value) for name, value in kwargs.items()}) for k in models]
        )

    return op_on_models


def embed(tokens: Tensor, token_table: Tensor, position_table: Tensor | None = None) -> Tensor:
    """Token embedding plus learned position: (batch, seq) int64 -> (batch, seq, d_model)."""
    x = F.embedding(tokens, token_table)
    return x if position_table is None else x + position_table[: tokens.shape[-1]]


def norm(x: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5) -> Tensor:
    """``kind="layer"``: (x - mean)/sqrt(var + eps); ``kind="rms"``: x/sqrt(mean(x^2) + eps); times gain, plus bias."""
    normed = _NORMS[kind](x, gain.shape, gain, eps=eps)
    return normed if bias is None else normed + bias


def add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """(norm of the sum, the sum) of ``x`` and the residual stream."""
    total = x + residual
    return norm(total, gain, bias, kind=kind, eps=eps), total


_norm = norm  # where a setting is called norm
_NORMS: dict[str, Callable[..., Tensor]] = {"layer": F.layer_norm, "rms": F.rms_norm}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    """x W^T + b + residual: (..., d_in) -> (..., d_out)."""
    y = F.linear(x, weight, bias)
    return y if residual is None else y + residual


def rope(x: Tensor, *, base: float = 10_000.0) -> Tensor:
    """Rotary positions on (batch, heads, seq, d_head): pairs (i, i + d_head/2) turn by position * base^(-2i/d_head)."""
    seq, half = x.shape[-2], x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float32, device=x.device) / half)
    angle = torch.arange(seq, dtype=torch.float32, device=x.device)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def norm_qkv(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None, *,
    kind: str, n_head: int, n_kv_head: int, base: float | None = None, eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Queries, keys and values (batch, heads, seq, d_head) of norm(x): rows of ``weight`` by head, queries first.

    Queries and keys have rotary positions where ``base`` says so.
    """
    packed = linear(norm(x, gain, shift, kind=kind, eps=eps), weight, bias)
    heads = packed.view(*x.shape[:-1], n_head + 2 * n_kv_head, -1).transpose(1, 2)
    q, k, v = torch.split(heads, [n_head, n_kv_head, n_kv_head], dim=1)
    return (q, k, v) if base is None else (rope(q, base=base), rope(k, base=base), v)


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True, window: int | None = None, scale: float | None = None
) -> Tensor:
    """softmax(scale q k^T) v, causal or over all positions; ``scale`` is 1/sqrt(d_head) unless given.

    k and v may have fewer heads than q (each serves a group of q heads). With a window, a query sees the last
    ``window`` positions, itself included. Raises KernelError for a window below 1 or without ``causal``.
    """
    check_mask(causal, window)
    mask = None
    if window is not None:
        at = torch.arange(q.shape[-2], device=q.device)
        apart = at[:, None] - at
        mask = (apart >= 0) & (apart < window)
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal and mask is None, scale=scale, enable_gqa=grouped
    )


def activation(x: Tensor, *, kind: str) -> Tensor:
    """``gelu`` (exact, erf; ``gelu_tanh`` as GPT-2), ``relu2`` (relu squared), ``swiglu`` (silu of half times half)."""
    return _ACTIVATIONS[kind](x)


def _swiglu(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu2": lambda x: F.relu(x).square(),
    "swiglu": _swiglu,
}


def mlp(
    x: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    kind: str,
    norm: str = "none",
    eps: float = 1e-5,
    residual: bool = False,
) -> Tensor:
    """W_out act(W_in u + b_in) + b_out, plus x where ``residual``; u is the ``norm`` of x, x itself with "none".

    For ``swiglu`` W_in is (2 d_ff, d_model), gate rows first.
    """
    u = x if gain is None else _norm(x, gain, bias, kind=norm, eps=eps)
    y = linear(activation(linear(u, w_in, b_in), kind=kind), w_out, b_out)
    return x + y if residual else y


def block(
    x: Tensor,
    gain1: Tensor,
    bias1: Tensor | None,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    gain2: Tensor,
    bias2: Tensor | None,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    *,
    n_head: int,
    n_kv_head: int,
    kind: str,
    norm: str,
    rope_base: float | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """(x1 + mlp(norm(x1)), x1 = x + W_proj attention(norm(x))): (batch, seq, d_model); rows of w_qkv: q, k, then v."""
    heads = [n_head, n_kv_head, n_kv_head]
    packed = linear(_norm(x, gain1, bias1, kind=norm, eps=eps), w_qkv, b_qkv)
    q, k, v = torch.split(packed.view(*x.shape[:2], sum(heads), -1).transpose(1, 2), heads, dim=1)
    if rope_base is not None:
        q, k = rope(q, base=rope_base), rope(k, base=rope_base)
    x = x + linear(attention(q, k, v).transpose(1, 2).flatten(2), w_proj, b_proj)
    return mlp(x, w_in, b_in, w_out, b_out, gain2, bias2, kind=kind, norm=norm, eps=eps, residual=True), x


def moe_route(
    x: Tensor, router: Tensor, *, top_k: int, renormalise: bool = False, capacity_factor: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gates (rows, experts) of the ``top_k`` likeliest experts, the load-balancing loss, choices dropped.

    p = softmax(x R^T) in float32 at least; a gate is p, over the sum of the chosen where ``renormalise``, and 0 beyond
    ``signatures.expert_capacity``, which earlier rows fill first. The loss is E sum(f mean(p)), f the shares of choices
    (Fedus, Zoph and Shazeer 2021, equation 4).
    """
    p = _logits(x, router).softmax(-1)
    chosen = torch.zeros_like(p).scatter(-1, p.argsort(dim=-1, descending=True, stable=True)[:, :top_k], 1.0)
    gates = p * chosen
    if renormalise:
        gates = gates / gates.sum(-1, keepdim=True)
    capacity = expert_capacity(p.shape[0], p.shape[1], top_k, capacity_factor)
    kept = chosen if capacity is None else chosen * (chosen.cumsum(0) <= capacity)
    balance = p.shape[1] * (chosen.mean(0) / top_k * p.mean(0)).sum()
    return gates * kept, balance, (chosen - kept).sum().long()


def moe(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, *, kind: str, top_k: int, renormalise: bool = False,
    capacity_factor: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Experts' MLPs, weights (experts, ...), times the gates of ``moe_route``, added up; its loss and count."""
    rows = x.flatten(0, -2)
    gates, balance, dropped = moe_route(
        rows, router, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor
    )
    made = [mlp(rows, inner, None, outer, None, kind=kind) for inner, outer in zip(w_in, w_out, strict=True)]
    y = (torch.stack(made, -1) * gates[:, None]).sum(-1)
    return y.to(x.dtype).view_as(x), balance, dropped


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, *,
    reduction: str = "mean", z_loss: float = 0.0, ignore_index: int = -100,
) -> Tensor:  # fmt: skip
    """Cross-entropy in nats of the logits x W^T: (batch, seq, d_model), (n_vocab, d_model), (batch, seq) int64.

    ``reduction="none"`` gives the (batch, seq) losses, weights (1) times -log p(target) + z_loss log(sum of exp)^2, 0
    where the target is ``ignore_index``; ``"mean"`` their sum over that of the weights of the positions not ignored.
    Logits are taken in float32 at least.
    """
    logits = _logits(x, weight)
    losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none", ignore_index=ignore_index)
    losses = losses.view(targets.shape)
    if z_loss:
        losses = losses + z_loss * logits.logsumexp(-1).square()
    counted = (targets != ignore_index).to(losses.dtype)
    weights = counted if weights is None else counted * weights
    losses = weights * losses
    return losses.sum() / weights.sum() if reduction == "mean" else losses


def argmax_hits(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Whether the target is the argmax of the logits x W^T, the first of equal ones: bool, of the shape of targets."""
    return _logits(x, weight).argmax(-1) == targets


def _logits(x: Tensor, weight: Tensor) -> Tensor:
    logits = linear(x, weight)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def adamw(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    *,
    decayed: Sequence[bool],
    step: float | Tensor,
    lr: float | Tensor,
    beta1: float | Tensor,
    beta2: float | Tensor,
    eps: float | Tensor,
    weight_decay: float | Tensor,
    clip: float | Tensor,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    """AdamW with decoupled decay (Loshchilov and Hutter, 2019, algorithm 2) after clipping the global gradient norm.

    g *= min(1, clip / |g|); m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p = (1 - lr wd) p - lr m / (1 - b1^step) / (sqrt(v / (1 - b2^step)) + eps), decay where ``decayed``.

    Returns the new parameters, first and second moments, and |g| before clipping; ``step`` counts from 1.
    """
    norm = torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
    scale = (clip / norm).clamp(max=1.0)
    m = [beta1 * old + (1 - beta1) * scale * grad for old, grad in zip(first, grads, strict=True)]
    v = [beta2 * old + (1 - beta2) * (scale * grad) ** 2 for old, grad in zip(second, grads, strict=True)]
    moved = []
    for param, decays, mean, square in zip(params, decayed, m, v, strict=True):
        keep = 1 - lr * weight_decay if decays else 1.0
        change = lr * mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
        moved.append(keep * param - change)
    return moved, m, v, norm


MUON = {"a": 3.4445, "b": -4.7750, "c": 2.0315, "eps": 1e-7}
"""Coefficients of the quintic of Jordan et al. 2024, and what keeps the norm of a matrix of noughts from dividing."""


def orthogonalise(u: Tensor, *, steps: int = 5) -> Tensor:
    """The matrix ``u`` (O, I) with its singular values brought near 1 (Jordan et al. 2024, Newton-Schulz quintic).

    x = u / (|u|_F + eps), then ``steps`` times x = a x + (b A + c A A) x with A = x x^T (rows the shorter side).
    """
    if u.shape[0] > u.shape[1]:
        return orthogonalise(u.T, steps=steps).T
    x: Tensor = u / (u.norm() + MUON["eps"])
    for _ in range(steps):
        gram = x @ x.T
        x = MUON["a"] * x + (MUON["b"] * gram + MUON["c"] * gram @ gram) @ x
    return x


def muon(
    params: Sequence[Tensor], grads: Sequence[Tensor], first: Sequence[Tensor], *, lr: float | Tensor,
    momentum: float | Tensor, weight_decay: float | Tensor, nesterov: bool = True, scaled: bool = True, steps: int = 5,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """Muon (Jordan et al. 2024) on matrices (O, I), decay decoupled.

    m = mu m + g, u = g + mu m (``nesterov``) or m,
    p = (1 - lr wd) p - lr s orthogonalise(u), s = max(1, O/I)^(1/2) where ``scaled``. Returns parameters and momenta.
    """
    m = [momentum * old + grad for old, grad in zip(first, grads, strict=True)]
    moved = []
    for param, grad, mean in zip(params, grads, m, strict=True):
        size = max(1.0, param.shape[0] / param.shape[1]) ** 0.5 if scaled else 1.0
        turned = orthogonalise(grad + momentum * mean if nesterov else mean, steps=steps)
        moved.append((1 - lr * weight_decay) * param - lr * size * turned)
    return moved, m


def accumulate(sums: Sequence[Tensor], grads: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The gradients of one more micro-batch added to ``sums``, and their squared norm."""
    square = torch.stack([grad.square().sum() for grad in grads]).sum()
    return [total + grad for total, grad in zip(sums, grads, strict=True)], square


def noise_scale(
    small: Tensor, big: Tensor, *, micro_batch: float, batch: float
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(|G|^2, tr(Sigma), B_simple) from E|g|^2 of batches of two sizes (McCandlish et al. 2018, appendix A.1).

    |G|^2 = (B big - b small)/(B - b),  tr(Sigma) = (small - big)/(1/b - 1/B),  B_simple = tr(Sigma)/|G|^2

    The first two have no bias and may be negative at a single step: average each over steps, then divide. ``b`` and
    ``B``, in tokens or sequences, are the unit of Sigma and of B_simple. Raises KernelError unless 0 < b < B.
    """
    if not 0 < micro_batch < batch:
        raise KernelError(f"noise_scale: needs 0 < micro_batch < batch, not {micro_batch} and {batch}")
    signal = (batch * big - micro_batch * small) / (batch - micro_batch)
    trace = (small - big) / (1 / micro_batch - 1 / batch)
    return signal, trace, trace / signal
