"""What takes the place of modules of Hugging Face transformers, GPT-2 and Llama: one row of a table each.

A replacement is a forward function over the ops, which reads the module's own parameters. Those of GPT-2 (``Conv1D``)
lie transposed, and products of matrices read them as they lie; an MLP in one kernel, of no more than 256 columns, gets
a copy. The gate and the value of Llama lie apart: ops get a copy, a pass over the weights more. Dropout stays torch's;
attention with dropout, padding or a cache of earlier positions goes to the SDPA of transformers, as ``last_dispatch()``
tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from isoflop.errors import require
from isoflop.kernels.dispatch import record
from isoflop.kernels.implementation import Ops, ops

IGNORED = -100
"""The label of positions without a loss, in transformers as in torch."""

ACTIVATIONS = {
    "GELUActivation": "gelu",
    "GELUTanh": "gelu_tanh",
    "NewGELUActivation": "gelu_tanh",
    "ReLUSquaredActivation": "relu2",
}
"""Class of an activation of transformers -> kind of ours."""


@dataclass(frozen=True)
class Replacement:
    """The op that replaces a module, its forward, (implementation, module, ...), and why not: "" where it does.

    Attention has no forward of its own: transformers asks a registry, by a name in the config.
    """

    op: str
    forward: Callable[..., Any] | None
    unfit: Callable[[Any], str] = lambda module: ""


def attention_name(implementation: str) -> str:
    """Register attention with transformers, masks as for SDPA; the name to put in the config."""
    interface = require("transformers.modeling_utils", extra="hf").AttentionInterface
    masks = require("transformers.masking_utils", extra="hf")
    name = f"isoflop_{implementation}"
    interface.register(name, partial(_attention, implementation))
    masks.AttentionMaskInterface.register(name, masks.sdpa_mask)
    return name


def _attention(
    implementation: str, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    dropout: float = 0.0, scaling: float | None = None, is_causal: bool | None = None, **others: Any,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    plain = attention_mask is None and not dropout and query.shape[2] == key.shape[2]
    if not plain or others.get("position_bias") is not None or others.get("cache") is not None:
        record("attention", "sdpa")
        sdpa = require("transformers.modeling_utils", extra="hf").ALL_ATTENTION_FUNCTIONS["sdpa"]
        passed: tuple[Tensor, Tensor | None] = sdpa(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **others
        )
        return passed
    op = ops(implementation, query.device)
    y = op("attention")(query[None], key[None], value[None], causal=bool(causal), scale=scaling)[0]
    return y.transpose(1, 2), None


def _layer_norm(implementation: str, module: nn.LayerNorm, x: Tensor) -> Tensor:
    return _norm(implementation, x, module.weight, module.bias, kind="layer", eps=module.eps)


def _rms_norm(implementation: str, module: Any, x: Tensor) -> Tensor:
    return _norm(implementation, x, module.weight, None, kind="rms", eps=module.variance_epsilon)


def _norm(implementation: str, x: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float) -> Tensor:
    op, rows = ops(implementation, x.device), x.reshape(1, -1, x.shape[-1])
    y: Tensor = op("norm")(rows, gain[None], _one(bias), kind=kind, eps=eps)
    return y.view(x.shape)


def _gpt2_mlp(implementation: str, module: Any, x: Tensor) -> Tensor:
    op, rows = ops(implementation, x.device), x.reshape(1, -1, x.shape[-1])
    w_in, w_out = (each.weight.t()[None] for each in (module.c_fc, module.c_proj))
    kind = ACTIVATIONS[type(module.act).__name__]
    y = op("mlp")(rows, w_in, module.c_fc.bias[None], w_out, module.c_proj.bias[None], kind=kind)
    dropped: Tensor = module.dropout(y.view(x.shape))
    return dropped


def _llama_mlp(implementation: str, module: Any, x: Tensor) -> Tensor:
    op, rows = ops(implementation, x.device), x.reshape(1, -1, x.shape[-1])
    gate, up, down = module.gate_proj, module.up_proj, module.down_proj
    w_in = torch.cat((gate.weight, up.weight))[None]
    b_in = None if gate.bias is None else torch.cat((gate.bias, up.bias))[None]
    y: Tensor = op("mlp")(rows, w_in, b_in, down.weight[None], _one(down.bias), kind="swiglu")
    return y.view(x.shape)


def _loss(implementation: str, model: Any, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Any:
    """While training, the loss without logits; else, or where more is asked of the logits, the model's own forward."""
    asked = kwargs.keys() & {"logits_to_keep", "return_dict", "shift_labels"}
    if labels is None or not model.training or asked or len(args) > 1:
        return type(model).forward(model, *args, labels=labels, **kwargs)
    count, ignored = kwargs.pop("num_items_in_batch", None), kwargs.pop("ignore_index", IGNORED)
    made = getattr(model, model.base_model_prefix)(*args, **kwargs)
    x = made.last_hidden_state
    targets = nn.functional.pad(labels, (0, 1), value=ignored)[:, 1:].reshape(1, -1)
    op: Ops = ops(implementation, x.device)
    losses = op("linear_cross_entropy")(
        x.reshape(1, -1, x.shape[-1]), model.lm_head.weight[None], targets,
        reduction="mean" if count is None else "none", ignore_index=ignored,
    )  # fmt: skip
    loss = losses[0] if count is None else losses.sum() / count
    output = require("transformers.modeling_outputs", extra="hf").CausalLMOutputWithPast
    return output(
        loss=loss, past_key_values=made.past_key_values, hidden_states=made.hidden_states, attentions=made.attentions
    )


def _one(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor[None]


def _unfit_layer_norm(module: Any) -> str:
    return (
        "" if module.weight is not None and module.weight.ndim == 1 else "its norm has no gain, or one of several axes"
    )


def _unfit_gpt2_attention(module: Any) -> str:
    if module.is_cross_attention:
        return "it attends to another sequence"
    return "scores are computed in float32 (reorder_and_upcast_attn)" if module.reorder_and_upcast_attn else ""


def _unfit_gpt2_mlp(module: Any) -> str:
    name = type(module.act).__name__
    return "" if name in ACTIVATIONS else f"its activation is {name}; the kernel has {', '.join(ACTIVATIONS)}"


def _unfit_llama_mlp(module: Any) -> str:
    name = type(module.act_fn).__name__
    return "" if name in ("SiLU", "SiLUActivation") else f"its gate is {name}; the kernel has SiLU"


def _unfit_loss(model: Any) -> str:
    if model.lm_head.bias is not None:
        return "its unembedding has a bias"
    usual = require("transformers.loss.loss_utils", extra="hf").ForCausalLMLoss
    return "" if model.loss_function is usual else f"its loss is {getattr(model.loss_function, '__name__', 'its own')}"


TABLE: dict[str, dict[str, Replacement]] = {
    "gpt2": {
        "LayerNorm": Replacement("norm", _layer_norm, _unfit_layer_norm),
        "GPT2Attention": Replacement("attention", None, _unfit_gpt2_attention),
        "GPT2MLP": Replacement("mlp", _gpt2_mlp, _unfit_gpt2_mlp),
        "GPT2LMHeadModel": Replacement("linear_cross_entropy", _loss, _unfit_loss),
    },
    "llama": {
        "LlamaRMSNorm": Replacement("norm", _rms_norm),
        "LlamaAttention": Replacement("attention", None),
        "LlamaMLP": Replacement("mlp", _llama_mlp, _unfit_llama_mlp),
        "LlamaForCausalLM": Replacement("linear_cross_entropy", _loss, _unfit_loss),
    },
}
"""``config.model_type`` -> class of a module -> what takes its place."""
