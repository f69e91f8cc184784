"""The page in a real browser: nothing fails, nothing is asked of a network, and its planner is the package's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.planning import bill, plan, repeat, serve, settle
from isoflop.report.analysis import Analysis, analyse
from isoflop.report.page import write_page
from isoflop.report.page.embedded import repeating
from isoflop.runs import RunStore
from report.browser import Browser
from report.made import HOSTILE, record_finished

DRAWN = "performance.getEntriesByName('drawn').length"
DIGITS = 1e-3
"""Three of them: what the page shows is rounded to four."""

SETTINGS = [
    {"compute": 1e11, "unique": 1e9, "served": 1e3, "device": "h100-sxm", "count": 1, "mfu": 40, "price": 2.5},
    {"compute": 1e13, "unique": 1e9, "served": 1e7, "device": "h100-sxm", "count": 8, "mfu": 35, "price": 2},
    {"compute": 3.7e13, "unique": 1e6, "served": 1e8, "device": "a100-sxm-80gb", "count": 64, "mfu": 55, "price": 1.2},
    {"compute": 2e14, "unique": 3e5, "served": 4e9, "device": "h200", "count": 1000, "mfu": 12.5, "price": 3},
    {"compute": 1e15, "unique": 1e7, "served": 1e6, "device": "h100-sxm", "count": 16, "mfu": 100, "price": 10},
    {"compute": 6e16, "unique": 2e8, "served": 1e11, "device": "b200", "count": 7, "mfu": 28, "price": 4.4},
    {"compute": 1e18, "unique": 1e7, "served": 3e9, "device": "mi300x", "count": 2, "mfu": 33, "price": 0.9},
    {"compute": 5.76e20, "unique": 1e12, "served": 2e12, "device": "h100-sxm", "count": 512, "mfu": 41, "price": 2.2},
    {"compute": 1e22, "unique": 1e10, "served": 1e13, "device": "h100-sxm", "count": 4096, "mfu": 45, "price": 1.8},
    {"compute": 5e8, "unique": 1e3, "served": 1, "device": "h100-sxm", "count": 1, "mfu": 5, "price": 2.5},
]
"""Budgets inside the runs and far beyond, tokens that last and that do not."""


def opened(analysis: Analysis, folder: Path, browser: Browser) -> Path:
    page = write_page(analysis, folder / "report.html")
    browser.open(page.as_uri())
    browser.until(DRAWN)
    return page


def shown(browser: Browser) -> dict[str, tuple[float, tuple[float, ...]]]:
    """Value and interval of every quantity in the planner's table, as written."""
    script = """return [...document.querySelectorAll('#quantities tr[data-quantity]')].map(
        (row) => [row.dataset.quantity, row.cells[1].textContent, row.cells[2].textContent])"""
    return {
        name: (float(value), tuple(float(end) for end in interval.split(" to ")) if interval else ())
        for name, value, interval in browser.run(script)
    }


@pytest.mark.parametrize("law", ["kaplan", "chinchilla"])
def test_the_planner_gives_the_numbers_of_the_python_planner(
    law: str, analysis: Analysis, tmp_path: Path, browser: Browser
) -> None:
    best = next(each for each in analysis.laws if each.fit.law.name == law)
    analysis = replace(analysis, best=best, plan=plan("1e13 FLOP", best.fit))
    opened(analysis, tmp_path, browser)
    for asked in SETTINGS:
        for control, value in asked.items():
            browser.set(control, value)
        found = shown(browser)
        for name, (value, interval) in expected(analysis, asked).items():
            assert found[name][0] == pytest.approx(value, rel=DIGITS), (name, asked)
            known = () if np.isnan(interval).any() else interval
            assert found[name][1] == pytest.approx(known, rel=DIGITS), (name, asked)
        short = expected(analysis, asked)["epochs"][0] > 1
        assert ("repeated-n" in found) == ("once-n" in found) == short
    assert browser.errors() == []


def expected(analysis: Analysis, asked: dict[str, Any]) -> dict[str, tuple[float, tuple[float, ...]]]:
    """What the package's own functions give, by the page's names."""
    fit, compute = analysis.best.fit, asked["compute"]
    best, served = plan(compute, fit), serve(fit, asked["served"], compute=compute)
    on = {"on": asked["device"], "mfu": asked["mfu"] / 100, "count": asked["count"], "price": asked["price"]}
    priced, overtrained = bill(compute, **on), bill(served.best.training, **on)
    assert best.intervals is not None
    assert served.intervals is not None
    assert priced.cost is not None
    assert overtrained.cost is not None
    values = {
        "n": (best.n_params, best.intervals["n_params"]),
        "d": (best.n_tokens, best.intervals["n_tokens"]),
        "ratio": (best.tokens_per_param, best.intervals["tokens_per_param"]),
        "loss": (best.loss, best.intervals["loss"]),
        "epochs": (best.n_tokens / asked["unique"], ()),
        "bill-cost": (priced.cost, ()),
        "serving-n": (served.best.n_params, served.intervals["n_params"]),
        "serving-d": (served.best.n_tokens, served.intervals["n_tokens"]),
        "serving-cost": (served.best.cost, ()),
        "serving-bill-cost": (overtrained.cost, ()),
    }
    if priced.kwh is not None:
        values["bill-kwh"] = (sum(priced.kwh) / 2, priced.kwh)
    if best.n_tokens > asked["unique"]:
        preset = repeating(analysis)
        assert preset is not None
        repeated = repeat(compute, asked["unique"], preset)
        once = settle(fit, compute=compute, n_tokens=asked["unique"])
        values |= {
            "repeated-n": (repeated.n_params, ()), "repeated-d": (repeated.n_tokens, ()),
            "repeated-loss": (repeated.loss, ()), "once-n": (once.n_params, ()), "once-loss": (once.loss, ()),
        }  # fmt: skip
    return values


def test_nothing_fails_and_nothing_is_asked_of_a_network(analysis: Analysis, tmp_path: Path, browser: Browser) -> None:
    page = opened(analysis, tmp_path, browser)
    assert browser.errors() == []
    schemes = {url.partition(":")[0] for url in browser.requests() if url != page.as_uri()}
    assert schemes <= {"blob", "data"}


def test_every_figure_is_drawn_and_says_which_run_a_dot_is(
    analysis: Analysis, tmp_path: Path, browser: Browser
) -> None:
    opened(analysis, tmp_path, browser)
    figures = browser.run("return [...document.querySelectorAll('.chart')].map((box) => box.dataset.figure)")
    assert figures == ["curves", "loss-n", "loss-d", "frontier", "allocation", "residuals"]
    assert browser.run("return document.querySelectorAll('.chart .main-svg .trace').length") >= len(figures)
    dots = "return document.querySelector('[data-figure=frontier]').data.find((trace) => trace.name === 'runs')"
    trace = browser.run(dots)
    assert sorted(trace["text"]) == sorted(run.id for run in analysis.store if run.status == "finished")
    assert "%{text}" in trace["hovertemplate"]


def test_the_planner_moves_its_star_on_the_figures(analysis: Analysis, tmp_path: Path, browser: Browser) -> None:
    opened(analysis, tmp_path, browser)
    browser.set("compute", "2e14")
    star = "document.querySelector('[data-figure=frontier]').data.at(-1)"
    browser.until(f"{star}.x[0] === 2e14")
    assert browser.run(f"return {star}.y[0]") == pytest.approx(plan(2e14, analysis.best.fit).loss)


def test_a_slider_answers_the_arrow_keys_and_a_wrong_number_changes_nothing(
    analysis: Analysis, tmp_path: Path, browser: Browser
) -> None:
    opened(analysis, tmp_path, browser)
    before = shown(browser)["n"]
    slider = browser.run("const e = document.getElementById('compute-slider'); e.focus(); return e")
    slider.send_keys("\ue014" * 20)  # arrow right
    browser.until("document.getElementById('compute').value !== '1e13'")
    more = float(browser.run("return document.getElementById('compute').value"))
    browser.until(f"document.querySelector('#quantities').textContent.includes('{more:g}'.replace('+', ''))")
    assert shown(browser)["n"][0] == pytest.approx(plan(more, analysis.best.fit).n_params, rel=DIGITS)
    after = shown(browser)
    assert after["n"] > before
    browser.set("compute", "a lot")
    assert browser.run("return document.getElementById('compute').getAttribute('aria-invalid')") == "true"
    assert shown(browser) == after


def test_the_table_of_runs_sorts_and_filters(analysis: Analysis, tmp_path: Path, browser: Browser) -> None:
    opened(analysis, tmp_path, browser)
    column = """return [...document.querySelectorAll('#runs tbody tr')].filter((row) => !row.hidden).map(
        (row) => row.cells[arguments[0]].dataset.value ?? row.cells[arguments[0]].textContent)"""
    heading = "document.querySelectorAll('#runs thead th')[6]"
    for order, descending in (("ascending", False), ("descending", True)):
        browser.run(f"{heading}.querySelector('button').click()")
        losses = [float(value) for value in browser.run(column, 6) if value != "NaN"]
        assert losses == sorted(losses, reverse=descending)
        assert len(losses) == 15
        assert browser.run(f"return {heading}.getAttribute('aria-sort')") == order
        assert browser.run(column, 6)[-1] == "NaN"  # what has no loss stays last
    type_in = "const e = document.getElementById('find'); e.value = arguments[0]; e.dispatchEvent(new Event('input'))"
    browser.run(type_in, "Diverged")
    assert browser.run(column, 1) == ["diverged"]
    assert browser.run("return document.getElementById('shown').textContent") == "1 of 16 runs"


def test_a_hostile_run_is_text_in_the_table_and_on_the_figures(
    store: RunStore, tmp_path: Path, browser: Browser
) -> None:
    record_finished(store, 2e3, 2e5, np.random.default_rng(1), name=HOSTILE)
    opened(analyse(store, compute="1e13 FLOP"), tmp_path, browser)
    assert browser.run("return [...document.querySelectorAll('#runs small')].map((e) => e.textContent)") == [HOSTILE]
    assert browser.run("return document.querySelectorAll('img, .figures script, table script').length") == 0
    assert browser.errors() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_told_apart_in_light_and_dark(
    scheme: str, analysis: Analysis, tmp_path: Path, browser: Browser
) -> None:
    """WCAG 2.2, 1.4.3: text at 4.5 to 1."""
    browser.emulate(scheme=scheme)
    opened(analysis, tmp_path, browser)
    style = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()"
    for text, ground in (
        ("--ink", "--ground"), ("--ink", "--card"), ("--soft", "--ground"), ("--soft", "--card"),
        ("--accent", "--ground"), ("--note", "--note-ground"),
    ):  # fmt: skip
        bright, dim = sorted((luminance(browser.run(style, name)) for name in (text, ground)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)
    dark_ground = luminance(browser.run(style, "--ground")) < 0.2
    assert dark_ground == (scheme == "dark")


def luminance(colour: str) -> float:
    """Relative, of #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_a_phone_needs_no_sideways_scrolling(analysis: Analysis, tmp_path: Path, browser: Browser) -> None:
    browser.emulate(width=390)
    opened(analysis, tmp_path, browser)
    assert browser.run("return document.documentElement.scrollWidth") <= 390


def test_readers_of_screens_find_landmarks_headings_and_names(
    analysis: Analysis, tmp_path: Path, browser: Browser
) -> None:
    opened(analysis, tmp_path, browser)
    once = "return arguments[0].map((selector) => document.querySelectorAll(selector).length)"
    assert browser.run(once, ["main", "header", "nav[aria-label]", "h1"]) == [1] * 4
    unnamed = """return [...document.querySelectorAll(
        'input, select, button, section, form, [role=img], [role=region]')].filter(
        (e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length
            || document.getElementById(e.getAttribute('aria-labelledby')))).map((e) => e.outerHTML)"""
    assert browser.run(unnamed) == []
    levels = browser.run("return [...document.querySelectorAll('h1, h2, h3')].map((e) => Number(e.tagName[1]))")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = browser.run("return [...document.querySelectorAll('main [id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_on_paper_all_runs_are_there_and_no_control(analysis: Analysis, tmp_path: Path, browser: Browser) -> None:
    opened(analysis, tmp_path, browser)
    assert browser.driver.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBER")  # %PDF
    browser.emulate(media="print")
    hidden = "return getComputedStyle(document.querySelector(arguments[0])).display"
    assert [browser.run(hidden, each) for each in ("nav", "#filter", "input[type=range]")] == ["none"] * 3
    assert browser.run("const e = document.querySelector('#runs .scroll'); return e.scrollHeight <= e.clientHeight")
    assert browser.errors() == []


def test_on_paper_a_dark_page_has_the_colours_of_a_light_one(
    analysis: Analysis, tmp_path: Path, browser: Browser
) -> None:
    browser.emulate(scheme="dark")
    opened(analysis, tmp_path, browser)
    ink = "document.querySelector('[data-figure=frontier]').layout.font.color"
    dark = browser.run(f"return {ink}")
    for event, there in (("beforeprint", False), ("afterprint", True)):
        browser.run("dispatchEvent(new Event(arguments[0]))", event)
        browser.until(f"({ink} === '{dark}') === {str(there).lower()}")
    assert luminance(dark) > 0.5


def test_a_thousand_runs_are_a_small_page_that_answers_at_once(tmp_path: Path, browser: Browser) -> None:
    store, noise = RunStore(tmp_path / "large"), np.random.default_rng(0)
    for n in np.geomspace(1e3, 1e7, 40):
        for d in np.geomspace(1e5, 1e8, 25):
            record_finished(store, float(n), float(d), noise, points=60)
    page = opened(analyse(store, compute="1e16 FLOP"), tmp_path, browser)
    size = page.stat().st_size / 1e6
    starts = []
    for _ in range(3):
        browser.open(page.as_uri())
        browser.until(DRAWN)
        starts.append(browser.run("return performance.getEntriesByName('interactive')[0].startTime") / 1e3)
    sorting = """const t = performance.now(); document.querySelectorAll('#runs thead button')[4].click();
        document.querySelector('#runs tbody').getBoundingClientRect(); return performance.now() - t"""
    sorted_in = browser.run(sorting) / 1e3
    planned_in = browser.run(
        "const t = performance.now(); document.getElementById('device').dispatchEvent(new Event('change'));"
        "return performance.now() - t"
    )
    told = f"{size:.2f} MB, at work in {min(starts):.2f} s, sorted in {sorted_in:.3f} s, a plan in {planned_in:.0f} ms"
    print(f"1000 runs: {told}")  # noqa: T201
    assert size <= 6
    assert min(starts) <= 1.5
    assert sorted_in <= 0.5
    assert browser.errors() == []
