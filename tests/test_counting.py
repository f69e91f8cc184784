"""FLOPs: the C++ core against an exact integer reference, published ratios, and torch's own counter."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop import Shape, flops, table1
from isoflop.counting import CONVENTIONS, Pairs
from isoflop.errors import ShapeError, SpecError
from reference import flops as reference
from shapes import GPT2, LLAMA3_8B, shapes

PAIRS = {
    Pairs.NONE: lambda s: Fraction(0),
    Pairs.FULL: lambda s: Fraction(s * s),
    Pairs.CAUSAL: lambda s: Fraction(s * (s + 1), 2),
    Pairs.HALVED: lambda s: Fraction(s * s, 2),
}


def relative_error(got: float, exact: Fraction) -> Fraction:
    return abs(Fraction(got) - exact) / exact if exact else Fraction(got)


@given(shapes(largest=65536), st.integers(1, 10**6), st.integers(1, 10**7), st.sampled_from(list(PAIRS)))
def test_every_term_equals_the_integer_reference(shape: Shape, batch: int, seq: int, pairs: Pairs) -> None:
    shape = shape.replace(position="none")
    expected = reference.forward_terms(shape, batch, seq, PAIRS[pairs](seq))
    counted = flops(shape, batch=batch, seq=seq).terms_over(pairs)
    assert list(counted) == list(expected)
    for name, exact in expected.items():
        assert relative_error(counted[name], exact) <= Fraction(1, 10**12), name


@given(shapes(largest=65536), st.integers(1, 10**6), st.integers(1, 10**7), st.sampled_from(list(CONVENTIONS)))
def test_every_convention_equals_the_integer_reference(shape: Shape, batch: int, seq: int, convention: str) -> None:
    shape = shape.replace(position="none")
    counted = flops(shape, batch=batch, seq=seq)
    exact = reference.training_flops(shape, convention, batch, seq)
    assert relative_error(counted.total(convention), exact) <= Fraction(1, 10**12)
    assert relative_error(counted.forward(convention), exact / 3) <= Fraction(1, 10**12)
    assert relative_error(counted.per_token(convention), exact / (batch * seq)) <= Fraction(1, 10**12)


@pytest.mark.parametrize("seq", [1, 2, 3, 64, 127])
def test_causal_pairs_match_brute_force(seq: int) -> None:
    one_wide = Shape(n_layer=1, d_model=1, n_head=1, n_ctx=seq, n_vocab=1, d_ff=1)
    assert flops(one_wide).terms_over(Pairs.CAUSAL)["logits"] == 2 * reference.causal_pairs(seq)


# Training FLOPs a token over those of dense attention, at the full context length.
RATIOS = [
    (GPT2, "exact-causal", 0.934),
    (GPT2, "kaplan-table1", 0.663),
    (GPT2, "6n-total", 0.873),
    (LLAMA3_8B, "exact-causal", 0.889),
    (LLAMA3_8B, "kaplan-table1", 0.834),
    (LLAMA3_8B, "6n-total", 0.832),
]


@pytest.mark.parametrize(("shape", "convention", "ratio"), RATIOS)
def test_conventions_differ_by_the_known_ratios(shape: Shape, convention: str, ratio: float) -> None:
    counted = flops(shape)
    assert counted.per_token(convention) / counted.per_token("exact") == pytest.approx(ratio, abs=1e-3)


@given(shapes(), st.integers(1, 4096))
def test_table_1_adds_up_to_kaplans_formula(shape: Shape, seq: int) -> None:
    rows = {row.operation: row for row in table1(shape.replace(position="rope"), seq=seq)}
    inner = [rows[name] for name in ("qkv", "mask", "project", "feedforward")]
    total = rows["total (non-embedding)"]
    assert total.params == sum(row.params for row in inner) == shape.n_kaplan
    assert total.flops_per_token == 2 * shape.n_kaplan + 2 * shape.n_layer * seq * shape.d_attn
    assert total.flops_per_token == sum(row.flops_per_token for row in inner)


def test_table_1_of_gpt2_small() -> None:
    rows = {row.operation: row for row in table1(GPT2)}
    assert rows["embed"] == ("embed", (50257 + 1024) * 768, 4 * 768)
    assert rows["mask"] == ("mask", 0, 2 * 12 * 1024 * 768)
    assert rows["de-embed"] == ("de-embed", 0, 2 * 768 * 50257)


def test_every_convention_names_its_source() -> None:
    assert all(convention.source for convention in CONVENTIONS.values())


def test_an_unknown_convention_names_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown FLOP convention 'exact-casual'\n.*did you mean 'exact-causal'"):
        flops(GPT2).total("exact-casual")


def test_a_sequence_longer_than_learned_positions_is_refused() -> None:
    with pytest.raises(ShapeError, match="seq is 2048, longer than the 1024 learned positions"):
        flops(GPT2, seq=2048)
    assert flops(LLAMA3_8B, seq=10**6).seq == 10**6


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"seq": -1}, {"batch": 1.5}, {"seq": True}])
def test_a_wrong_batch_or_length_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ShapeError, match="must be a positive whole number"):
        flops(GPT2, **wrong)


def test_a_parameter_count_beyond_int64_raises_instead_of_wrapping() -> None:
    with pytest.raises(OverflowError):
        flops(Shape(n_layer=2**40, d_model=2**40, n_head=1, n_ctx=1, n_vocab=1)).total("kaplan-6n")


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_exact_equals_torchs_counter_on_the_same_products(n_kv_head: int, activation: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")
    from torch.utils.flop_counter import FlopCounterMode

    shape = Shape(2, 48, 4, 32, 100, n_kv_head=n_kv_head, activation=activation)
    batch, seq = 3, 32
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        forward_products(torch, shape, batch, seq)
    assert flops(shape, batch=batch, seq=seq).forward("exact") == counter.get_total_flops()


def forward_products(torch, shape: Shape, batch: int, seq: int) -> None:  # type: ignore[no-untyped-def]
    """Every matrix product of a forward pass, on random weights, with nothing in between."""
    heads = (batch, shape.n_head, seq, shape.d_head)
    for _ in range(shape.n_layer):
        x = torch.randn(batch * seq, shape.d_model)
        weights = {name: torch.randn(size) for name, size in reference.matrices(shape).items()}
        for name in ("query", "key", "value"):
            x @ weights[name]
        scores = torch.randn(heads) @ torch.randn(heads).transpose(-1, -2)
        attended = (scores @ torch.randn(heads)).transpose(1, 2).reshape(batch * seq, shape.d_attn)
        attended @ weights["proj"]
        hidden = x @ weights["up"]
        if "gate" in weights:
            hidden = hidden * (x @ weights["gate"])
        hidden @ weights["down"]
    torch.randn(batch * seq, shape.d_model) @ torch.randn(shape.d_model, shape.n_vocab)
