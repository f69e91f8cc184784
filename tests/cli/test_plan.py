"""What ``isoflop plan`` answers besides N, D and L."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from cli.called import Call
from isoflop.cli.app import VERBS, app
from isoflop.planning import measured_mfu
from isoflop.runs import Recorder, RunStore
from isoflop.shape import Shape


def test_a_plan_names_a_concrete_shape(isoflop: Call) -> None:
    asked = "plan --compute 1e22 --shape --vocab 32000 --ctx 4096 --field activation=swiglu --field bias=false"
    record = json.loads(isoflop(f"{asked} --device h100-sxm --count 64 --json").out)
    shape = Shape.from_dict(record["shape"]["shape"])
    assert (shape.n_vocab, shape.n_ctx, shape.activation, shape.bias) == (32_000, 4096, "swiglu", False)
    assert shape.n_params == pytest.approx(record["n_params"], rel=0.01)
    assert record["shape"]["sequences"] >= 1
    assert f"n_layer {shape.n_layer}, d_model {shape.d_model}" in isoflop(asked).out


def test_a_convention_of_no_name_is_refused_by_name(isoflop: Call) -> None:
    called = isoflop("plan --compute 1e22 --shape --convention palmm")
    assert called.code == 2
    assert "did you mean 'palm'?" in called.err


def test_a_loss_a_size_or_tokens_are_settled(isoflop: Call) -> None:
    least = json.loads(isoflop("plan --loss 2.1 --json").out)
    longer = json.loads(isoflop(f"plan --loss 2.1 --params {least['n_params'] / 2} --json").out)
    assert longer["compute"] > least["compute"]
    assert longer["least_compute"] == pytest.approx(least["compute"])
    assert "above the least compute" in isoflop("plan --compute 1e22 --tokens 1e12").out
    below = isoflop("plan --loss 1.5")
    assert below.code != 0
    assert "the law falls towards 1.817" in below.err
    assert "no budget and nothing to reach" in isoflop("plan").err
    assert "n_layer" in isoflop("plan --loss 2.1 --shape").out


def test_days_take_devices_and_compute_and_both_are_billed(isoflop: Call) -> None:
    record = json.loads(isoflop("plan --compute 1e23 --device h100-sxm --mfu 0.4 --days 30 --json").out)
    assert record["pace"]["days"] <= 30
    assert record["bill"]["count"] == record["pace"]["count"] > 1
    assert record["bill"]["days"] == pytest.approx(record["pace"]["days"])
    assert record["bill"]["compute"] > record["compute"]
    assert "how well" in isoflop("plan --compute 1e23 --days 30").err
    assert "days is the least" in isoflop("plan --compute 1e27 --device h100-sxm --mfu 0.4 --days 1").err


def test_devices_and_days_are_a_budget_that_is_used_up(isoflop: Call) -> None:
    asked = "plan --device h100-sxm --mfu 0.4 --count 1024 --days 30"
    found = json.loads(isoflop(f"{asked} --json").out)
    assert found["pace"]["count"] == 1024
    assert found["pace"]["days"] == pytest.approx(30, rel=1e-3)
    assert found["pace"]["compute"] == pytest.approx(1024 * 989e12 * 0.4 * 30 * 86_400, rel=1e-3)
    assert found["compute"] == pytest.approx(found["pace"]["compute"] / (1 + found["pace"]["overhead"]))
    assert "30 days on 1,024 devices" in isoflop(asked).out


def test_the_page_of_a_plan_has_a_table_its_law_and_its_warnings(isoflop: Call) -> None:
    page = isoflop("plan --compute 1e24 --law kaplan-table2").out
    assert "value" in page
    assert "exponent of N in C" in page
    assert "kaplan-table2: Kaplan 2020" in page
    assert page.count("warning: ") >= 3


def test_a_plan_is_billed_and_held_against_thresholds(isoflop: Call) -> None:
    asked = "plan --compute 2e25 --device h100-sxm --count 4096 --mfu 0.4 --price 2"
    answer = json.loads(isoflop(f"{asked} --json").out)
    assert answer["bill"]["cost"] == pytest.approx(2 * 2e25 / (989e12 * 0.4) / 3600)
    assert "eu-ai-act-systemic" in answer["thresholds"]
    assert "on 4096 NVIDIA H100 SXM at 40% MFU" in (shown := isoflop(asked).out)
    assert "note: above 1e+25 FLOP of EU AI Act" in shown
    refused = isoflop("plan --compute 1e20 --device h100-sxm")
    assert "how busy h100-sxm is was not said" in refused.err
    assert "--mfu 0.4" in refused.err


def test_days_are_billed_at_the_utilisation_that_a_bench_measured(isoflop: Call, tmp_path: Path) -> None:
    steps = [(1e6, "bf16", 0.1), (1e9, "bf16", 0.35), (1e9, "bf16", 0.4), (1e9, "float32", 0.6)]
    record = {"ceilings": {"name": "NVIDIA H100 SXM"}}
    record["steps"] = [{"n": n, "dtype": dtype, "mfu": mfu} for n, dtype, mfu in steps]  # type: ignore[assignment]
    (tmp_path / "found.json").write_text(json.dumps(record))
    asked = "plan --compute 2e25 --count 4096 --json --device"
    measured = json.loads(isoflop(f"{asked} h100-sxm --mfu {tmp_path / 'found.json'}").out)["bill"]
    assert measured == json.loads(isoflop(f"{asked} h100-sxm --mfu 0.4").out)["bill"]
    assert "was measured on NVIDIA H100 SXM, not on" in isoflop(f"{asked} h200 --mfu {tmp_path / 'found.json'}").err
    assert "is no result of isoflop bench" in isoflop(f"{asked} h100-sxm --mfu {tmp_path / 'none.json'}").err


def test_the_bench_that_is_kept_holds_a_utilisation(root: Path) -> None:
    kept = max((root / "bench" / "results").glob("nvidia-h100*.json"))
    assert 0 < measured_mfu(kept, "h100-sxm") < 1


def test_a_model_that_is_served_is_smaller_and_cheaper(isoflop: Call) -> None:
    asked = "plan --compute 4.8159e22 --law chinchilla-hoffmann --serve 2e12"
    assert json.loads(isoflop(f"{asked} --json").out)["serving"]["saving"] == pytest.approx(0.163, abs=1e-3)
    assert "16.3% less than by the model that is cheapest to train" in isoflop(asked).out


def test_what_a_law_sees_beside_n_and_d_is_varied(isoflop: Call) -> None:
    asked = "plan --compute 6.46e21 --law krajewski-moe --vary 1 --vary 32"
    found = json.loads(isoflop(f"{asked} --json").out)
    assert found["L"][1] < found["L"][0]
    assert found["N_active"] == pytest.approx([12 / 516 * n for n in found["N"]])
    shown = isoflop(asked).out
    assert "N_active" in shown
    assert "krajewski-moe: Krajewski 2024 (arXiv 2402.07871), Table 1" in shown
    assert "--vary asks what is spent" in isoflop("plan --law krajewski-moe --vary 8").err


def test_a_closed_form_loads_neither_estimation_nor_other_verbs() -> None:
    told = "import sys; print(*sys.modules, file=sys.stderr)"
    asked = ["--compute", "1e24 FLOP", "--law", "chinchilla-besiroglu"]
    code = f"import sys, atexit; atexit.register(lambda: exec({told!r})); from isoflop.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "plan", *asked], capture_output=True, text=True, check=True)
    assert "9.601e+10" in done.stdout
    loaded = done.stderr.split()
    assert not {"numba", "scipy", "torch", "pyarrow", "matplotlib", "sympy"} & {name.split(".")[0] for name in loaded}
    own = {name.removeprefix("isoflop.") for name in loaded if name.startswith("isoflop.")}
    assert {name.split(".")[0] for name in own} == {"_core", "cli", "errors", "exports", "laws", "planning"}
    assert {name for name in own if name.startswith("cli.")} == {"cli.answers", "cli.app", "cli.console"}
    assert {name for name in own if name.startswith("planning.")} == {
        *("planning.basis", "planning.compute", "planning.concrete", "planning.page", "planning.plan"),
        "planning.thresholds",
    }


def test_the_table_of_verbs_names_those_there_are() -> None:
    for module in VERBS.values():
        importlib.import_module(f"isoflop.cli.{module}")
    group = get_group(app)
    assert set(group.commands) == set(VERBS)
    for verb, module in VERBS.items():
        command = group.commands[verb]
        made = [command.callback, *(sub.callback for sub in getattr(command, "commands", {}).values())]
        assert {call.__module__ for call in made if call is not None} == {f"isoflop.cli.{module}"}


def test_the_command_plans_for_a_layout(isoflop: Call) -> None:
    words = "plan --compute 5.76e23FLOP --shape --device h100-sxm --layout dp=64,tp=8,pp=4,zero=1"
    found = json.loads(isoflop(f"{words} --efficiency 0.6 --price 2 --json").out)
    assert found["layout"]["count"] == found["bill"]["count"] == 2048
    assert found["layout"]["days"] == pytest.approx(found["bill"]["days"], rel=1e-6)
    assert "TOO MUCH" not in isoflop(words).out
    for wrong, said in (
        ("--layout dp=2", "--layout says how many devices"),
        ("--shape --device h100-sxm --layout dp", "'dp' is no NAME=COUNT"),
        ("--shape --device h100-sxm --layout dp=2 --mfu 0.4", "--layout says how many devices"),
    ):
        refused = isoflop(f"plan --compute 1e21FLOP {wrong}")
        assert refused.code != 0
        assert said in refused.err


def test_the_command_finds_the_model_that_reaches_a_loss_soonest(isoflop: Call) -> None:
    words = "plan --loss 2.1 --device h100-sxm --mfu 0.4 --count 4096"
    found = json.loads(isoflop(f"{words} --soonest --json").out)
    least = json.loads(isoflop(f"{words} --json").out)
    assert found["pace"]["loss"] == pytest.approx(2.1)
    assert found["pace"]["n_params"] >= least["n_params"], "time wants a larger model than compute"
    refused = isoflop("plan --compute 1e23FLOP --soonest")
    assert refused.code != 0
    assert "--soonest asks for a loss" in refused.err


def test_runs_that_were_counted_in_total_are_named_and_planned_from_by_asking(isoflop: Call, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "total")
    for n in (1e7, 3e7, 1e8):
        for d in (1e9, 3e9, 1e10):
            with Recorder(store, {"n": n, "d": d}, counts={"n_params": n, "D": d}) as rec:
                rec.finish(loss=1.8 + 480 / n**0.35 + 2100 / d**0.37, tokens=d)
    refused = isoflop(f"plan --compute 1e20 --store {store.path}")
    assert refused.code != 0
    assert "9 were left out, run " in refused.err
    assert "--n-convention total" in refused.err
    planned = json.loads(isoflop(f"plan --compute 1e20 --store {store.path} --n-convention total --json").out)
    best = (0.35 * 480 / (0.37 * 2100)) ** (1 / 0.72) * (1e20 / 6) ** (0.37 / 0.72)
    assert planned["n_params"] == pytest.approx(best, rel=1e-3)
