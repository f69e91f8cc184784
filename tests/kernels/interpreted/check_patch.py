"""Hugging Face models with their modules replaced by kernels, in the interpreter, and by plain torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from isoflop.errors import KernelError
from isoflop.kernels import last_dispatch, patch

VOCAB = 13


def gpt2(**changes: Any) -> nn.Module:
    torch.manual_seed(0)
    plain = {"resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    sizes = {"vocab_size": VOCAB, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model: nn.Module = transformers.GPT2LMHeadModel(transformers.GPT2Config(**(sizes | plain | changes)))
    return model


def llama(**changes: Any) -> nn.Module:
    torch.manual_seed(0)
    config = {
        "vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16,
        "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    model: nn.Module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(config | changes)))
    return model


every_model = pytest.mark.parametrize("make", [gpt2, llama])
Make = Callable[..., Any]


def tokens() -> Tensor:
    return torch.randint(0, VOCAB, (2, 7), generator=torch.Generator().manual_seed(1))


def loss_and_gradients(model: Any, **asked: Any) -> tuple[Tensor, dict[str, Tensor]]:
    model.train()
    model.zero_grad()
    labels = tokens()
    labels[0, 3] = -100
    loss = model(input_ids=tokens(), labels=labels, **asked).loss
    loss.backward()
    return loss.detach(), {name: each.grad.clone() for name, each in model.named_parameters()}


def test_each_replaced_module_is_named() -> None:
    assert patch(gpt2()).replaced == {
        "lm_head": "linear_cross_entropy",
        "transformer.h.0.ln_1": "norm",
        "transformer.h.0.attn": "attention",
        "transformer.h.0.ln_2": "norm",
        "transformer.h.0.mlp": "mlp",
        "transformer.ln_f": "norm",
    }
    assert patch(llama()).replaced == {
        "lm_head": "linear_cross_entropy",
        "model.layers.0.self_attn": "attention",
        "model.layers.0.mlp": "mlp",
        "model.layers.0.input_layernorm": "norm",
        "model.layers.0.post_attention_layernorm": "norm",
        "model.norm": "norm",
    }


@every_model
@pytest.mark.parametrize("implementation", ["auto", "reference"])
def test_logits_are_those_of_the_model(make: Make, implementation: str) -> None:
    model = make().eval()
    with torch.no_grad():
        before = model(tokens()).logits
        with patch(model, implementation=implementation):
            after = model(tokens()).logits
            ran = last_dispatch()
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    expected = "triton" if implementation == "auto" else "reference"
    assert {ran[op] for op in ("norm", "attention", "mlp")} == {expected}


@every_model
@pytest.mark.parametrize("asked", [{}, {"num_items_in_batch": 40}], ids=["mean", "share of a larger batch"])
def test_loss_and_gradients_are_those_of_the_model(make: Make, asked: dict[str, Any]) -> None:
    model = make()
    before = loss_and_gradients(model, **asked)
    with patch(model):
        after = loss_and_gradients(model, **asked)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-5)
    assert last_dispatch()["linear_cross_entropy"] == "triton"


def test_products_read_the_transposed_weights_of_gpt2_as_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    model = gpt2(n_embd=272, n_head=4)
    before = loss_and_gradients(model)
    copied: list[int] = []
    contiguous = Tensor.contiguous

    def watched(tensor: Tensor) -> Tensor:
        if not tensor.is_contiguous():
            copied.append(tensor.numel())
        return contiguous(tensor)

    monkeypatch.setattr(Tensor, "contiguous", watched)
    with patch(model):
        after = loss_and_gradients(model)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-5)
    assert last_dispatch()["linear"] == "library"
    assert 4 * 272 * 272 not in copied


@every_model
def test_a_training_call_makes_no_logits_and_an_evaluation_does(make: Make) -> None:
    model = make()
    with patch(model):
        assert model.train()(tokens(), labels=tokens()).logits is None
        assert model.eval()(tokens(), labels=tokens()).logits.shape == (2, 7, VOCAB)


@every_model
def test_undoing_leaves_no_trace(make: Make) -> None:
    model = make()
    attention = model.config._attn_implementation
    names, parameters = list(model.state_dict()), [id(each) for each in model.parameters()]
    patched = patch(model)
    assert list(model.state_dict()) == names
    patched.undo()
    patched.undo()
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert model.config._attn_implementation == attention
    assert [id(each) for each in model.parameters()] == parameters


@every_model
def test_padding_and_a_cache_go_to_sdpa_and_it_is_told(make: Make) -> None:
    model = make().eval()
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[1, :3] = 0
    with torch.no_grad():
        before = model(tokens(), attention_mask=mask).logits
        with patch(model):
            after = model(tokens(), attention_mask=mask).logits
            assert last_dispatch()["attention"] == "sdpa"
            first = model(tokens()[:, :6])
            assert last_dispatch()["attention"] == "triton"
            last = model(tokens()[:, 6:], past_key_values=first.past_key_values).logits
            assert last_dispatch()["attention"] == "sdpa"
        whole = model(tokens()).logits
    torch.testing.assert_close(after[mask.bool()], before[mask.bool()], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last[:, 0], whole[:, 6], rtol=1e-4, atol=1e-5)


def test_dropout_of_attention_goes_to_sdpa() -> None:
    model = gpt2(attn_pdrop=0.5).train()
    with patch(model):
        model(tokens(), labels=tokens())
    assert last_dispatch()["attention"] == "sdpa"


def test_a_copy_of_a_patched_model_uses_its_own_parameters() -> None:
    model = gpt2().eval()
    with patch(model), torch.no_grad():
        other = copy.deepcopy(model)
        for parameter in model.parameters():
            parameter.zero_()
        assert other(tokens()).logits.abs().max() > 0


def test_what_does_not_fit_is_kept_and_said() -> None:
    assert "ReLU" in patch(gpt2(activation_function="relu")).kept["transformer.h.0.mlp"]
    assert "SiLU" in patch(llama(hidden_act="gelu")).kept["model.layers.0.mlp"]
    assert "transformer.h.0.attn" in patch(gpt2(reorder_and_upcast_attn=True)).kept


def test_other_models_are_refused_with_what_is_supported() -> None:
    with pytest.raises(KernelError, match="Linear has no replacements; supported: gpt2, llama of transformers"):
        patch(nn.Linear(2, 2))
    bert = transformers.BertModel(
        transformers.BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(KernelError, match="BertModel has no replacements"):
        patch(bert)


def test_a_patched_model_is_not_patched_again() -> None:
    model = gpt2()
    with patch(model), pytest.raises(KernelError, match="lm_head has had its forward replaced already"):
        patch(model)
    patch(model).undo()


def test_an_unknown_implementation_is_refused_with_the_nearest() -> None:
    with pytest.raises(KernelError, match=r"no implementation 'tritn'\n  hint: did you mean 'triton'"):
        patch(gpt2(), implementation="tritn")
