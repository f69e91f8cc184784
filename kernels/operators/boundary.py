"""A pair of launchers as one operator of torch: fake tensors, autograd, autocast, ``vmap`` and counts, said once.

A forward launcher takes the tensors of its row in ``signatures.OPS``, then settings, and gives results. A backward one
is told what it needs by the names of its parameters: ``d<result>`` is the gradient of a result, the name of a tensor or
a result is that, kept from the forward pass, any other name a setting. Every tensor has a model axis in front, so that
``vmap`` is no loop: mapped calls are further models of one launch. An operator gives no None, but a tensor of no
columns (:func:`absent`).

The way through torch's dispatcher costs its caller tens of microseconds a call. Where nothing looks at the call (no
compiler, no mode, no transform of functions, no subclass of Tensor), it goes to the launchers through one
``autograd.Function``, with the same results and gradients. A tensor with gaps in memory is copied first, a transposed
one too where the launcher does not take it as it lies (``turned`` of its row).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from isoflop.kernels.signatures import OPS
from isoflop.tracing import custom, elementwise, register

Results = tuple[Tensor, ...]
Cost = Callable[..., tuple[int, int]]
"""(arguments of a launcher) -> FLOPs of products of matrices, other FLOPs."""

_PLAIN = (Tensor, torch.nn.Parameter)
_DEVICES = {"cpu": "AutocastCPU", "cuda": "AutocastCUDA"}
_library: Any = torch.library.Library("isoflop", "FRAGMENT")  # type: ignore[no-untyped-call]


def absent(like: Tensor) -> Tensor:
    """What stands for a tensor that there is not: (K, 0)."""
    return like.new_empty(like.shape[0], 0)


def present(tensor: Tensor) -> Tensor | None:
    """None for :func:`absent`."""
    return tensor if tensor.shape[-1] else None


class Operator:
    """``torch.ops.isoflop.<name>`` and ``<name>_backward``; called with the arguments of ``forward``, in order.

    Args:
        name: a row of ``signatures.OPS``.
        forward, backward: the launchers, annotated; a gradient for every entry of ``gradients``, in its order.
        results: names of what ``forward`` gives.
        gradients: names of tensors that share a gradient -> the tensor, known to ``backward``, of its form.
        fake: ``forward`` on tensors without data.
        costs: of ``forward`` and ``backward``, in FLOPs; bytes are those of all tensors in and out.
        passed: a tensor, and the result whose gradient is its own.
    """

    def __init__(
        self, name: str, forward: Callable[..., Any], backward: Callable[..., Results], *, results: Sequence[str],
        gradients: dict[str, str], fake: Callable[..., Any], costs: tuple[Cost, Cost],
        passed: tuple[str, str] = ("", ""),
    ) -> None:  # fmt: skip
        takes, inputs = (list(inspect.signature(each).parameters) for each in (backward, forward))
        tensors = {argument.name for argument in OPS[name].tensors}
        values = [*inputs, *results]
        grads = [f"d{result}" for result in results]
        self.name = name
        data = {argument.name for argument in OPS[name].tensors if argument.dtype == "data"}
        self._data = [each in data for each in inputs]
        self._differentiable = [i for i, grad in enumerate(grads) if grad in takes]
        self._constant = [i for i, grad in enumerate(grads) if grad not in takes]
        self._kept = [values.index(each) for each in takes if each in tensors or each in results]
        self._settings = [inputs.index(each) for each in takes if each not in {*grads, *tensors, *results}]
        self._gradient = [
            next((j for j, names in enumerate(gradients) if each in names.split()), None) for each in inputs
        ]
        self._passed = [results.index(passed[1]) if each == passed[0] else None for each in inputs]
        self._forms = [takes.index(form) for form in gradients.values()]
        turned = {argument.name for argument in OPS[name].tensors if argument.turned}
        self._forward, self._backward = (
            self._on_solid(launcher, [each in turned for each in names])
            for launcher, names in ((forward, inputs), (backward, takes))
        )
        self._operator = self._define(name, forward, self._forward, fake, costs[0])
        through = self._define(f"{name}_backward", backward, self._backward, self._fake_gradients, costs[1])
        self._operator.register_autograd(partial(self._differentiate, through), setup_context=self._keep)
        for device, key in _DEVICES.items():
            _library.impl(name, partial(self._autocast, device), key)
        self._direct = self._function()

    def __call__(self, *args: Any) -> Results:
        """The results, always as a tuple."""
        first: Tensor = args[0]
        if _seen(args):
            made = self._operator(*args)
        else:
            device = first.device.type
            if torch.is_autocast_enabled(device):
                args = self._cast(torch.get_autocast_dtype(device), args)
            learns = torch.is_grad_enabled() and any(isinstance(each, Tensor) and each.requires_grad for each in args)
            made = (self._direct.apply if learns else self._forward)(*args)
        return made if isinstance(made, tuple) else (made,)

    def _define(
        self, name: str, described: Callable[..., Any], run: Callable[..., Any], fake: Callable[..., Any], cost: Cost
    ) -> Any:
        schema = torch.library.infer_schema(described, mutates_args=())
        operator = torch.library.custom_op(f"isoflop::{name}", run, mutates_args=(), schema=schema)
        operator.register_fake(fake)
        operator.register_vmap(partial(_as_models, operator))
        register(f"isoflop::{name}", partial(_count, cost))
        return operator

    @staticmethod
    def _on_solid(launcher: Callable[..., Any], turned: Sequence[bool]) -> Callable[..., Any]:
        def launch(*args: Any) -> Any:
            return launcher(*map(_solid, args, turned))

        return launch

    def _fake_gradients(self, *args: Any) -> Results:
        forms = [args[i] for i in self._forms]
        return tuple(absent(args[0]) if each is None else torch.empty_like(each) for each in forms)

    def _keep(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        results = output if isinstance(output, tuple) else (output,)
        values = (*inputs, *results)
        ctx.save_for_backward(*[values[i] for i in self._kept])
        ctx.settings = [inputs[i] for i in self._settings]
        ctx.mark_non_differentiable(*[results[i] for i in self._constant])

    def _differentiate(self, run: Callable[..., Results], ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        made = run(*[grads[i] for i in self._differentiable], *ctx.saved_tensors, *ctx.settings)
        return tuple(
            (made[j] if j is not None else grads[i] if i is not None else None) if wanted else None
            for j, i, wanted in zip(self._gradient, self._passed, ctx.needs_input_grad, strict=True)
        )

    def _function(self) -> Any:
        operator = self

        class Direct(torch.autograd.Function):
            """The launchers, without torch's dispatcher; a ``setup_context`` of its own would cost 20 us a call."""

            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                made = operator._forward(*args)
                operator._keep(ctx, args, made)
                return made

            @staticmethod
            @once_differentiable
            def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
                return operator._differentiate(operator._backward, ctx, *grads)

        return Direct

    def _autocast(self, device: str, *args: Any) -> Any:
        with torch.autocast(device, enabled=False):
            return self._operator(*self._cast(torch.get_autocast_dtype(device), args))

    def _cast(self, dtype: torch.dtype, args: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(args, self._data, strict=True)
        return tuple(each.to(dtype) if data and isinstance(each, Tensor) else each for each, data in pairs)


def _solid(value: Any, turned: bool) -> Any:
    if not isinstance(value, Tensor) or (turned and value.mT.is_contiguous()):
        return value
    return value.contiguous()


def _seen(args: Sequence[Any]) -> bool:
    """Whether anything but autograd and autocast has to see the call."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or not all(type(each) in _PLAIN for each in args if isinstance(each, Tensor))
    )


def _as_models(operator: Any, info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
    """``vmap``: mapped calls of K models are one call of so many times K."""
    size = info.batch_size

    def models(value: Any, dim: int | None) -> Any:
        if not isinstance(value, Tensor):
            return value
        mapped = value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)
        return mapped.flatten(0, 1)

    def apart(value: Tensor) -> Tensor:
        return value.view(size, value.shape[0] // size, *value.shape[1:])

    made = operator(*map(models, args, in_dims))
    if isinstance(made, Tensor):
        return apart(made), 0
    return tuple(map(apart, made)), (0,) * len(made)


def _count(cost: Cost, *args: Any, out: Any) -> tuple[Any, ...]:
    products, others = cost(*args)
    read, written = (
        sum(each.nbytes for each in some if isinstance(each, Tensor))
        for some in (args, out if isinstance(out, (tuple, list)) else (out,))
    )
    counted = elementwise(others, read=read, written=written)
    return (counted, custom(products)) if products else (counted,)
