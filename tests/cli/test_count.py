"""What a shape costs, and what cannot be counted."""

from __future__ import annotations

import json

import pytest

from cli.called import GPT2, Call


def test_count_as_json_holds_the_exact_parameters(isoflop: Call) -> None:
    counted = json.loads(isoflop(f"{GPT2} --json").out)
    assert counted["n_params"] == 124_439_808
    assert counted["table1"][1]["params"] == 21_233_664


def test_count_as_a_table_names_every_convention(isoflop: Call) -> None:
    called = isoflop(GPT2)
    assert called.code == 0
    assert "124,439,808" in called.out
    assert all(name in called.out for name in ("kaplan-6n", "kaplan-table1", "6n-total", "exact-causal"))


def test_a_published_model_is_counted_by_its_name_with_its_source(isoflop: Call) -> None:
    counted = json.loads(isoflop("count gpt2-xl --json").out)
    assert counted["n_params"] == counted["published"]["params"] == 1_557_611_200
    table = isoflop("count chinchilla").out
    assert "chinchilla-70b: 70,000,000,000 parameters as published; Hoffmann et al. 2022" in table
    assert "of them 5,368,709,120 of kinds not counted here" in table


def test_a_name_gives_what_its_fields_give(isoflop: Call) -> None:
    named, given = (json.loads(isoflop(f"{words} --json").out) for words in ("count gpt2", GPT2))
    assert named.pop("published")["name"] == "gpt2"
    assert named == given


def test_fields_beside_a_name_replace_its_own(isoflop: Call) -> None:
    changed = json.loads(isoflop("count gpt2 --n-layer 24 --no-bias --field window=128 --seq 256 --json").out)
    assert "published" not in changed
    assert changed["shape"]["n_layer"] == 24
    assert changed["shape"]["bias"] is False
    assert changed["shape"]["window"] == 128
    assert changed["seq"] == 256
    assert json.loads(isoflop("count gpt2 --field norm=rms --json").out)["shape"]["norm"] == "rms"


def test_conventions_stand_side_by_side_and_one_may_be_asked_for(isoflop: Call) -> None:
    every = json.loads(isoflop("count llama-3-8b --batch 4 --json").out)
    assert len(every["training_flops_per_token"]) >= 5
    assert every["ratio_to_exact"]["exact"] == 1
    one = json.loads(isoflop("count llama-3-8b --batch 4 --convention exact --json").out)
    assert one["training_flops"] == {"exact": every["training_flops"]["exact"]}
    assert one["training_flops"]["exact"] == pytest.approx(5.791e10 * 4 * 8192, rel=1e-3)


def test_a_device_adds_its_time_memory_and_utilisation(isoflop: Call) -> None:
    on = json.loads(isoflop("count gpt2 --device h100-sxm --batch 8 --json").out)["device"]
    assert on["name"] == "h100-sxm"
    assert 0 < on["mfu"]["exact-causal"] < 1
    assert on["largest_batch"] > 8
    table = isoflop("count gpt2 --device h100-sxm --batch 8 --convention exact-causal").out
    assert "dense peak" in table
    assert "MFU at best" in table
    assert isoflop("count gpt2 --device t4 --dtype fp16").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("count gpt2xl", "did you mean 'gpt2-xl'?"),
        ("count gpt2 --convention exakt", "did you mean 'exact'?"),
        ("count gpt2 --device h100-sxn", "did you mean 'h100-sxm'?"),
        ("count gpt2 --device t4", "no published rate of bf16"),
        ("count gpt2 --field windw=3", "did you mean 'window'?"),
        ("count gpt2 --field window", "write --field window=VALUE"),
        ("count --n-layer 2", "a shape needs d_model, n_head, n_ctx, n_vocab"),
        ("count gpt2 --batch 0", "batch is 0"),
    ],
)
def test_what_cannot_be_counted_exits_2_and_says_what_could(isoflop: Call, words: str, message: str) -> None:
    called = isoflop(words)
    assert (called.code, called.out) == (2, "")
    assert message in called.err


def test_a_shape_that_cannot_be_exits_2_and_says_what_could(isoflop: Call) -> None:
    called = isoflop(GPT2.replace("768", "770"))
    assert (called.code, called.out) == (2, "")
    assert "d_model is 770" in called.err
    assert "hint: use d_model = 768" in called.err
