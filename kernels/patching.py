"""Modules of a Hugging Face model replaced by kernels, in place and to be undone."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from torch import nn

from isoflop.errors import KernelError
from isoflop.kernels.huggingface import TABLE, attention_name
from isoflop.kernels.implementation import check_choice


class Patched:
    """What :func:`patch` did to a model.

    Attributes:
        replaced: name of a module -> the op that computes it now; the loss goes by the name of the unembedding.
        kept: name of a module that could have been replaced -> why it was not.
    """

    def __init__(self, model: nn.Module, replaced: dict[str, str], kept: dict[str, str], attention: str) -> None:
        self.model, self.replaced, self.kept = model, replaced, kept
        self._attention = attention
        self._modules: list[nn.Module] = []

    def undo(self) -> None:
        """Give the model its own forward functions back; once is enough, twice does nothing."""
        for module in self._modules:
            del module.forward
        self._modules.clear()
        if self._attention:
            self.model.set_attn_implementation(self._attention)  # type: ignore[operator]
            self._attention = ""

    def __enter__(self) -> Patched:
        return self

    def __exit__(self, *error: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {op}" for name, op in self.replaced.items())


def patch(model: nn.Module, *, implementation: str = "auto") -> Patched:
    """Compute the norms, attention, MLPs and loss of a GPT-2 or Llama model of transformers by the ops of isoflop.

    Parameters, their names and the state dict stay as they are. While the model trains, a call with labels gives the
    loss and no logits. With ``with patch(model):`` the model is itself again at the end.

    Args:
        model: with ``config.model_type`` "gpt2" or "llama".
        implementation: "triton", "reference" (plain torch), or "auto": Triton where the tensors are on a GPU.

    Raises:
        KernelError: another type of model, a model that is patched already, an unknown implementation.
        MissingExtra: transformers is not installed, or Triton where it is chosen.
    """
    check_choice(implementation)
    rows = TABLE.get(_type_of(model))
    if rows is None:
        raise KernelError(
            f"patch: {type(model).__name__} has no replacements; supported: {', '.join(TABLE)} of transformers",
            hint="isoflop.kernels.FusedBlock and isoflop.kernels.operators are for models of your own",
        )
    found: list[tuple[str, nn.Module, str]] = []
    kept: dict[str, str] = {}
    for name, module in model.named_modules():
        row = rows.get(type(module).__name__)
        if row is None:
            continue
        named = name if name or row.op != "linear_cross_entropy" else "lm_head"
        if "forward" in vars(module):
            raise KernelError(f"patch: {named} has had its forward replaced already", hint="undo() that first")
        if reason := row.unfit(module):
            kept[named] = reason
        else:
            found.append((named, module, row.op))
    attention = _attend(model, implementation) if any(op == "attention" for _, _, op in found) else ""
    patched = Patched(model, {name: op for name, _, op in found}, kept, attention)
    for _, module, _ in found:
        forward = rows[type(module).__name__].forward
        if forward is not None:
            module.forward = partial(forward, implementation, module)
            patched._modules.append(module)
    return patched


def _type_of(model: nn.Module) -> str:
    transformers = sys.modules.get("transformers")
    if transformers is None or not isinstance(model, transformers.PreTrainedModel):
        return ""
    return str(model.config.model_type)


def _attend(model: Any, implementation: str) -> str:
    """Name our attention in the config; what stood there."""
    before = str(model.config._attn_implementation)
    model.set_attn_implementation(attention_name(implementation))
    return before
