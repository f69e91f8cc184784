"""The parts of the page that read without JavaScript: summary, laws, data quality, how to make it again."""

from __future__ import annotations

import hashlib
import platform
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.metadata import version

import msgspec

from isoflop import __version__
from isoflop.report.analysis import Analysis, FittedLaw
from isoflop.report.html import paragraph, table
from isoflop.report.page.rows import Row, table_of_runs
from isoflop.report.tables import FINDING_HEADINGS, LAW_HEADINGS, finding_row, law_row
from isoflop.runs import RunStore
from isoflop.runs.studies import read_studies

_BUILT_WITH = ("numpy", "scipy", "numba", "plotly")
_TOLD = ("engine", "torch", "threads")
"""Of what runs were made with: what changes losses or speed."""


def sections(store: RunStore, rows: Sequence[Row], analysis: Analysis | None, unfitted: str) -> dict[str, str]:
    """HTML by the id of its place in ``template.html``; ``unfitted`` says why there is no analysis."""
    return {
        "summary": _summary(rows, analysis, unfitted),
        "laws": _laws(analysis),
        "quality": _quality(rows, analysis),
        "runs": table_of_runs(rows),
        "reproduce": _reproduce(store, analysis),
    }


def _summary(rows: Sequence[Row], analysis: Analysis | None, unfitted: str) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(Counter(row.state for row in rows).items()))
    facts = {"runs": states or "none"}
    seconds = sum(row.seconds for row in rows if row.seconds > 0)
    facts |= {} if analysis is None else _fitted_facts(analysis)
    facts |= {"training time": f"{seconds / 3600:.3g} hours of runs"} if seconds else {}
    said = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    answer = paragraph(f"No law yet: {unfitted}", "note") if analysis is None else _answer(analysis)
    return f'{_title("summary", "Summary")}{answer}<dl class="facts">{said}</dl>'


def _fitted_facts(analysis: Analysis) -> dict[str, str]:
    columns = {"parameters, N": "N", "tokens, D": "D", "FLOP, C": "C"}
    ends = {
        label: f"{_digits(analysis.data.columns[name].min())} to {_digits(analysis.data.columns[name].max())}"
        for label, name in columns.items()
    }
    counts = {"non-embedding": "non-embedding parameters", "total": "all parameters"}[analysis.data.n_convention]
    return {"fitted": f"{analysis.data.n_runs} runs", "N counts": counts} | ends


def _digits(value: float) -> str:
    """Three of them; 1e9 for what Python writes 1e+09."""
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.3g}")


def _answer(analysis: Analysis) -> str:
    plan = analysis.plan
    interval = (plan.intervals or {}).get("loss")
    within = (
        "" if interval is None else f" ({plan.level:.0%} interval {_digits(interval[0])} to {_digits(interval[1])})"
    )
    sentence = (
        f"With {_digits(plan.compute)} FLOP train N = {_digits(plan.n_params)} parameters on "
        f"D = {_digits(plan.n_tokens)} tokens; expect a loss of {_digits(plan.loss)} nats/token{within}."
    )
    why = f"By the {plan.law} law: of the joint laws, the best on the largest models held out"
    return paragraph(sentence, "big") + paragraph(f"{why}; {plan.label}." if plan.label else f"{why}.")


def _laws(analysis: Analysis | None) -> str:
    if analysis is None:
        return _title("laws", "Laws") + paragraph("Nothing is fitted yet.")
    level = f"Intervals are of {analysis.plan.level:.0%}; errors are mean absolute ones of held-out losses."
    formulas = "\n".join(f"{law.fit.law.name}: {' '.join(law.fit.law.formula.split())}" for law in analysis.laws)
    parts = [_title("laws", "Laws"), paragraph(level), table(LAW_HEADINGS, map(law_row, analysis.laws))]
    parts.append(f"<pre>{escape(formulas)}</pre>")
    if analysis.findings:
        parts += ["<h3>Findings</h3>", table(FINDING_HEADINGS, map(finding_row, analysis.findings))]
    return "".join(parts)


def _quality(rows: Sequence[Row], analysis: Analysis | None) -> str:
    parts = [_title("quality", "Data quality")]
    if analysis is None:
        excluded = [f"run {row.label}: {row.state}" for row in rows if row.state != "finished"]
        return "".join([*parts, *_list("Runs left out of the laws", _explained(excluded, rows), "None.")])
    parts += _list("Runs left out of the laws", _explained(analysis.data.excluded, rows), "None.")
    doubts = [f"{law.fit.law.name} ({law.runs}): {note}" for law in analysis.laws for note in law.fit.notes]
    parts += _list("What these runs do not determine", doubts, "Nothing that the fits warn of.")
    unchecked = [
        f"{law.fit.law.name} was not checked on held-out runs: {law.unchecked}"
        for law in analysis.laws if law.unchecked
    ]  # fmt: skip
    unchecked += [f"{law} was not fitted: {why}" for law, why in analysis.skipped.items()]
    parts += _list("Not fitted, or not checked", unchecked, "None.")
    headings = ("law", "starts", "reached the optimum", "condition number", "at a bound")
    parts += ["<h3>How sure each optimum is</h3>", table(headings, map(_certificate, analysis.laws))]
    return "".join(parts)


def _certificate(law: FittedLaw) -> Sequence[str]:
    sure = law.fit.certificate
    return (
        law.fit.law.name, str(sure.starts), f"{sure.hit_rate:.0%}", f"{sure.condition:.3g}",
        ", ".join(sure.at_bounds) or "-",
    )  # fmt: skip


def _explained(excluded: Iterable[str], rows: Sequence[Row]) -> Iterator[str]:
    """With the error of a run that failed."""
    errors = {f"run {row.id}": row.error for row in rows if row.error}
    for each in excluded:
        error = errors.get(each.partition(":")[0], "")
        yield f"{each}: {error}" if error else each


def _list(heading: str, items: Iterable[str], none: str) -> list[str]:
    lines = "".join(f'<li class="note">{escape(item)}</li>' for item in items)
    return [f"<h3>{escape(heading)}</h3>", f'<ul class="notes">{lines}</ul>' if lines else paragraph(none)]


def _reproduce(store: RunStore, analysis: Analysis | None) -> str:
    where = shlex.quote(store.url)
    commands = [f"isoflop runs ls {where}"]
    hashes: dict[str, str] = {}
    if analysis is not None:
        compute, law = shlex.quote(f"{analysis.plan.compute:.6g} FLOP"), analysis.best.fit.law.name
        counted = "" if store.n_convention == "non-embedding" else f" --n-convention {store.n_convention}"
        level = f"--level {analysis.plan.level:g}{counted}"
        commands += [
            f"isoflop report {where} --compute {compute} {level}",
            f"isoflop fit {where} --law {law} {level}",
            f"isoflop plan --store {where} --law {law} --compute {compute} {level}",
        ]
        hashes["runs that were fitted, SHA-256 of their columns"] = analysis.data.fingerprint()
    for name, study in sorted(read_studies(store).items()):
        hashes[f"study {name}, SHA-256"] = hashlib.sha256(msgspec.json.encode(study, order="sorted")).hexdigest()
    told = [run.environment for run in store]
    made = {f"runs: {name}": ", ".join(sorted({each[name] for each in told if name in each})) for name in _TOLD}
    versions = {"isoflop": __version__, "Python": platform.python_version()}
    versions |= {name: version(name) for name in _BUILT_WITH}
    rows = [*versions.items(), *((name, said) for name, said in made.items() if said), *hashes.items()]
    listed = f'<div class="wrap">{table(("", ""), rows)}</div>'
    return f"{_title('reproduce', 'Reproduce')}<pre>{escape(chr(10).join(commands))}</pre>{listed}"


def _title(section: str, text: str) -> str:
    return f'<h2 id="{section}-title">{text}</h2>'
