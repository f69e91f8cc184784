"""Counting on meta tensors: shapes flow through a model and no arithmetic is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from isoflop.errors import SpecError, require
from isoflop.tracing.trace import Trace

if TYPE_CHECKING:
    from torch import Tensor


def trace_meta(fn: Callable[..., Any], *shapes: Any, backward: bool = False) -> Trace:
    """Count ``fn`` on inputs of these shapes, without computing or allocating anything.

    Causal flags of fused attention are honoured; mask tensors hold no numbers on the meta device, so that every pair
    under one counts as kept.

    Args:
        fn: a torch module, whose parameters and buffers are replaced by meta tensors for the call alone, or a function
            of tensors, which may also build its model inside.
        shapes: one for each argument: a tuple of sizes for float32, sizes after the name of a dtype
            (``("int64", 4, 1024)``), or a tensor, of which only shape and dtype are used.
        backward: also the gradients of every output that has any.

    Raises:
        MissingExtra: torch is not installed.
        SpecError: something that is no shape; with ``backward``, no output has gradients.
    """
    torch = require("torch", extra="train")
    inputs = [_on_meta(torch, shape, backward) for shape in shapes]
    model = fn if isinstance(fn, torch.nn.Module) else None
    tracing = Trace(model)
    with torch.device("meta"), _fused_attention(torch), tracing:
        if model is None:
            out = fn(*inputs)
        else:
            tensors = [*model.named_parameters(), *model.named_buffers()]
            state = {name: _like(torch, tensor) for name, tensor in tensors}
            out = torch.func.functional_call(model, state, tuple(inputs))
        if backward:
            roots = [root for root in torch.utils._pytree.tree_leaves(out) if getattr(root, "requires_grad", False)]
            if not roots:
                raise SpecError("no output has gradients: there is no backward pass to count")
            torch.autograd.backward(roots, [torch.empty_like(root) for root in roots])
    return tracing


def _like(torch: Any, tensor: Any) -> Any:
    return torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)


def _on_meta(torch: Any, shape: Any, backward: bool) -> Tensor:
    if isinstance(shape, torch.Tensor):
        tensor: Tensor = _like(torch, shape)
        return tensor
    name, sizes = "float32", shape
    if isinstance(shape, Sequence) and shape and isinstance(shape[0], str):
        name, sizes = shape[0], shape[1:]
    dtype = getattr(torch, name, None)
    whole = isinstance(sizes, Sequence) and all(type(size) is int and size >= 0 for size in sizes)
    if not whole or not isinstance(dtype, torch.dtype):
        raise SpecError(f"{shape!r} is no shape", hint='sizes (4, 16), a dtype and sizes ("int64", 4, 16), or a tensor')
    made: Tensor = torch.empty(tuple(sizes), dtype=dtype, device="meta")
    return made


def _fused_attention(torch: Any) -> Any:
    """Keep attention one operation: on meta tensors torch takes it apart, and the causal flag is lost."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    whole = torch.nn.functional.scaled_dot_product_attention

    class Fused(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func is whole and all(getattr(x, "is_meta", False) and x.ndim == 4 for x in args[:3]) and len(args) >= 3:
                return _fused(*args, **kwargs)
            return func(*args, **kwargs)

    def _fused(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        out: Tensor = fused(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
        return out

    return Fused()
