"""Figures of what runs measure besides their held-out loss, drawn of runs that measured it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.laws import get_law
from isoflop.laws.presets import Preset, get_preset
from isoflop.planning import repeat
from isoflop.report.figures import (
    FIGURES,
    Kernel,
    Roof,
    Study,
    critical_sizes,
    draw_figure,
    earliest_stop,
    exact_answers,
    head_dimension,
    loss_by_schedule,
    lstm_by_size,
    position_by_size,
    predicted_ends,
    repeat_contours,
    roofline,
    size_by_position,
    train_and_test,
    transfer_by_loss,
    transfer_by_size,
    universal_by_compute,
    without_embeddings,
)
from isoflop.report.style import LABELS
from isoflop.runs import Recorder, RunStore
from isoflop.runs.studies import GroupRuns, write_study
from report.known import add_purposes

SIZES = (1e4, 4e4, 1.6e5)


@pytest.fixture
def empty(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "measured")


def add(
    store: RunStore, n: float, points: list[dict[str, float]], *, d: float = 1e6, unique: float | None = None,
    counts: dict[str, float] | None = None, environment: dict[str, str] | None = None, **spec: Any,
) -> str:  # fmt: skip
    """A run of N with these points, its held-out loss the last one's."""
    known = {"N": n, "D": d, "C": 6 * n * d, "U": d if unique is None else unique}
    spec = {"batch_tokens": 1000, "n": n, "d": d, **spec}
    with Recorder(store, spec, counts=known | (counts or {}), environment=environment) as recorder:
        for at, point in enumerate(points, start=1):
            step = int(d / 1000 * at / len(points))
            recorder.log(step, tokens=step * 1000.0, **({"loss": point["val_loss"]} | point))
        recorder.finish(loss=points[-1]["val_loss"], tokens=d)
    return recorder.id


def shape(n_layer: int = 2, d_model: int = 64, **fields: Any) -> dict[str, Any]:
    return {"n_layer": n_layer, "d_model": d_model, "n_head": 2, "d_ff": 4 * d_model, "n_ctx": 64, **fields}


def by_place(n: float, step: int, places: int = 64) -> dict[str, float]:
    """Loss 2 T^-0.1 N^-0.05, more before the end."""
    return {
        "val_loss": 2 * n**-0.05 / step**0.1,
        **{f"val_loss_at_{t}": 2 * n**-0.05 * t**-0.1 / step**0.1 for t in (1, 2, 4, 8, 16, 32, 64) if t <= places},
    }


def test_the_loss_by_place_is_a_power_law_in_the_figure_as_in_the_runs(empty: RunStore) -> None:
    for n in SIZES:
        add(empty, n, [by_place(n, step) for step in (1, 2, 3)], shape=shape())
        add(empty, n, [by_place(n, step, places=8) for step in (1, 2, 3)], shape=shape(n_ctx=8))
    texts = [text.get_text() for text in position_by_size(empty).texts]
    assert texts == ["T^-0.10"] * 3
    dashed = [line for line in size_by_position(empty).lines if line.get_linestyle() == "--"]
    assert len(dashed) == 1
    for number in ("20", "21"):
        assert draw_figure(FIGURES[number], empty).lacks == {}


@pytest.mark.parametrize(
    ("said", "label"),
    [('[{"source": "books/", "fingerprint": "0123456789", "n_vocab": 256}]', "books/"), ("yes", "corpus 01234567")],
)
def test_losses_on_other_corpora_are_drawn_by_size_by_loss_and_by_depth(empty: RunStore, said: str, label: str) -> None:
    column = "val_loss_on_0123456789"
    for n in SIZES:
        for depth in (2, 4, 8):
            losses = [
                {"val_loss": n**-0.1 + away, column: n**-0.1 + away + 0.3, f"{column}_se": 0.01} for away in (0.2, 0)
            ]
            add(empty, n * (1 + 0.001 * depth), losses, shape=shape(n_layer=depth), environment={"transfer": said})
    drawn = transfer_by_size(empty)
    own, other = drawn.lines
    assert other.get_label() == label
    assert np.asarray(other.get_ydata()) - np.asarray(own.get_ydata()) == pytest.approx(0.3)
    ends, dashes = transfer_by_loss(empty).lines
    assert (len(ends.get_xdata()), len(dashes.get_xdata())) == (9, 2)  # type: ignore[arg-type]
    for number in ("8", "24"):
        assert draw_figure(FIGURES[number], empty).lacks == {}


def test_other_architectures_are_drawn_beside_the_decoder(empty: RunStore) -> None:
    for n in SIZES:
        for architecture, worse in (("decoder", 1.0), ("lstm", 1.1), ("universal", 1.05)):
            fields = {} if architecture == "decoder" else {"architecture": architecture}
            points = [{name: worse * value for name, value in by_place(n, 1).items()}]
            uses = 3 if architecture == "universal" else 1
            add(empty, n, points, shape=shape(**fields), counts={"C_exact_causal": uses * 6e6 * n})
    decoders, lstms = lstm_by_size(empty).lines
    assert np.asarray(lstms.get_ydata()) == pytest.approx(1.1 * np.asarray(decoders.get_ydata()))
    decoders, shared = universal_by_compute(empty).lines
    assert np.asarray(shared.get_xdata()) == pytest.approx(3 * np.asarray(decoders.get_xdata()))
    for number in ("7", "17"):
        assert draw_figure(FIGURES[number], empty).lacks == {}


def test_overfitted_runs_are_stopped_and_compared_with_the_bound(store: RunStore) -> None:
    add_purposes(store)
    runs = []
    for unique in (1e4, 1e5):
        falls = [
            {"val_loss": 3 - 0.2 * i + 0.02 * i * i + 100 / unique, "trained_loss": 3 - 0.2 * i} for i in range(10)
        ]
        runs.append(add(store, 6.4e4, falls, unique=unique, unique_tokens=unique, shape=shape()))
    write_study(store, "few", [GroupRuns(name="few", purpose="shape", runs=tuple(runs))])  # no law is fitted to them
    ax = earliest_stop(store)
    ((bound, stop), _) = np.asarray(ax.collections[0].get_offsets())
    assert bound > 0
    assert stop < 600  # the sixth of ten evaluations is the lowest, at step 600 of 1000; S_min is less
    held_out, training = train_and_test(store).lines[:2]
    assert float(np.asarray(training.get_ydata())[-1]) < float(np.asarray(held_out.get_ydata())[-1])
    assert draw_figure(FIGURES["16"], store).lacks == {}


def test_schedules_of_one_model_are_drawn_with_their_sum(empty: RunStore) -> None:
    for form, peak in (("cosine", 1e-3), ("cosine", 3e-3), ("linear", 1e-3), ("constant", 1e-3)):
        fall = np.ones(20) if form == "constant" else np.linspace(1, 0, 20)
        points = [{"val_loss": 2.0 - 10 * peak, "lr": peak * float(x)} for x in fall]
        add(empty, 1e4, points, schedule=form, learning_rate=peak)
    ax = loss_by_schedule(empty)
    assert ax.get_legend_handles_labels()[1] == ["constant", "cosine", "linear"]
    sums = sorted(float(np.asarray(line.get_xdata())[0]) for line in ax.lines if len(line.get_xdata()) == 1)  # type: ignore[arg-type]
    assert sums[-1] == pytest.approx(3 * sums[0], rel=0.01)
    assert draw_figure(FIGURES["22"], empty).lacks == {}


def test_ends_are_foretold_with_an_interval_that_holds_them(empty: RunStore) -> None:
    rng = np.random.default_rng(0)
    for n in SIZES:
        falls = 1e-3 * (1 - np.arange(1, 201) / 210)
        losses = n**-0.05 * (1 + 3 * np.arange(5, 1001, 5) ** -0.5 + 100 * falls) * rng.normal(1, 0.001, 200)
        points = [{"val_loss": loss, "lr": lr} for loss, lr in zip(losses.tolist(), falls.tolist(), strict=True)]
        add(empty, n, points)
    ax = predicted_ends(empty)
    bars = [np.asarray(bar.get_segments()[0]) for bar in ax.collections]  # type: ignore[attr-defined]
    ends = sorted(run.loss for run in Study.of(empty).runs)
    assert len(bars) == 3
    for bar, end in zip(sorted(bars, key=lambda bar: bar[0, 1]), ends, strict=True):
        assert bar[0, 1] < bar[1, 1]
        assert bar.mean(axis=0)[1] == pytest.approx(end, rel=0.05)


def test_noise_scales_of_runs_lie_beside_the_batch_scan(store: RunStore) -> None:
    add_purposes(store)
    # |G|^2 = 1 and tr(Sigma) = 4000 tokens: squared gradients of 500 and of 1000 tokens.
    squares = {"grad_square_half": 1 + 4000 / 500, "grad_square": 1 + 4000 / 1000}
    add(store, 1e5, [{"val_loss": 3.0 - 0.01 * i, **squares} for i in range(40)])
    (scales,) = [line for line in critical_sizes(store).lines if line.get_marker() == "." and len(line.get_xdata())]  # type: ignore[arg-type]
    assert np.asarray(scales.get_ydata()) == pytest.approx(4000)


def test_heads_are_compared_where_they_alone_differ(empty: RunStore) -> None:
    for n_head, worse in ((1, 0.02), (2, 0.0), (4, 0.01)):
        add(empty, 1e5, [{"val_loss": 2 * (1 + worse)}], shape=shape(n_head=n_head))
    ax = head_dimension(empty)
    ratios, penalties = (np.asarray(data, float) for data in ax.lines[0].get_data())
    assert ratios.tolist() == [16, 32, 64]
    assert penalties == pytest.approx([1, 0, 2])


def test_losses_with_and_without_embeddings_are_over_their_own_counts(empty: RunStore) -> None:
    for depth in (2, 4):
        for n in SIZES:
            loss = n**-0.1 / depth**0.01
            add(empty, n * depth, [{"val_loss": loss}], counts={"n_params": n * depth + 5e4}, shape=shape(depth))
    ax = without_embeddings(empty)
    assert ax.get_xlabel() == LABELS["N"]
    assert ax.get_legend_handles_labels()[1] == ["2 layers", "4 layers"]
    assert draw_figure(FIGURES["6"], empty).lacks == {}


def test_repeated_tokens_have_their_contours_and_their_best_use(empty: RunStore) -> None:
    preset = get_preset("muennighoff")
    assert isinstance(preset, Preset)
    law = get_law("muennighoff")
    noise = np.random.default_rng(0)
    for n in np.geomspace(1e7, 1e9, 5):
        for epochs in (1, 3, 10, 30, 100):
            at = {"N": n, "D": 1e8 * epochs, "U": 1e8}
            loss = float(law.predict(dict(preset.values), **at)) * float(noise.normal(1, 0.001))
            add(empty, n, [{"val_loss": loss}], d=1e8 * epochs, unique=1e8, at=epochs)
        loss = float(law.predict(dict(preset.values), N=n, D=3e9, U=3e9))
        add(empty, n, [{"val_loss": loss}], d=3e9, unique=3e9)
    ax = repeat_contours(empty)
    assert "U = 1e+08" in ax.get_xlabel()
    epochs, sizes = (np.asarray(data, float) for data in ax.lines[0].get_data())
    at = len(epochs) // 2
    fitted = Preset("fit", "muennighoff", Study.of(empty).law("muennighoff").params, "")
    exact = repeat(6e8 * float(epochs[at] * sizes[at]), 1e8, fitted)
    assert (epochs[at], sizes[at]) == pytest.approx((exact.epochs, exact.n_params), rel=0.02)


def test_measured_exact_matches_are_dots(empty: RunStore) -> None:
    for n in (1e4, 4e4, 1.6e5, 6.4e5):
        loss = n**-0.1
        add(empty, n, [{"val_loss": loss, "val_exact_match_4": float(np.exp(-4 * loss))}])
    line, dots = exact_answers(empty).lines
    assert np.asarray(dots.get_ydata()) == pytest.approx(np.asarray(line.get_ydata()))


def test_kernels_are_drawn_under_their_roof() -> None:
    kernels = (Kernel("linear forward", 500.0, 3e14), Kernel("add_norm backward", 1.0, 2e12))
    ax = roofline(Roof("a device", {"matrix products": 1e15}, 3e12, kernels, measured=True))
    roof, linear, norm = ax.lines[:3]
    x, y = (np.asarray(data, float) for data in roof.get_data())
    assert y.max() == 1e15
    for dot in (linear, norm):
        at, rate = (float(np.asarray(data)[0]) for data in dot.get_data())
        assert rate < np.interp(at, x, y)
    assert (linear.get_markerfacecolor(), norm.get_markerfacecolor()) == (linear.get_color(), "none")
