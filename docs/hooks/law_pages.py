"""Pages of the laws, made of their declarations whenever the site is built: nothing that they say is written twice.

A page a topic, a heading a law, so that each has an anchor and is found by the site's search. Formulas are set as
MathML here, which browsers draw without a script.
"""

from __future__ import annotations

from html import escape
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from isoflop.laws import LAWS, MULTI_POWER, PRESETS, Preset
from isoflop.laws.latex import symbol
from isoflop.laws.law import INPUTS
from isoflop.laws.sheet import law_sheet

FOLDER = "reference/laws"
FRONTIERS = "frontiers"

INDEX = """# All laws

{laws} laws and {sets} published sets of constants, from the declarations that the package ships. The same by the
command line: `isoflop laws` and `isoflop laws show NAME`. How they are used, and how one is added, is told in
[Laws](../../laws.md).

Sets that belong to no law, exponents and optima alone, stand under [Published frontiers]({frontiers}). A set that is
*not verified* was neither read in its paper or the authors' code, nor attested by several independent texts, nor
recomputed. Constants are shown to eight digits; the command line and the package have all that were published.
"""

# Name of the page, its title, its laws in the order in which they are read.
TOPICS = {
    "one-quantity": (
        "One quantity",
        [
            "power-n",
            "power-d",
            "power-c",
            "power-n-floor",
            "power-d-floor",
            "power-c-floor",
            "bnsl-1",
            "bnsl-2",
            "bnsl-3",
        ],
    ),
    "kaplan": (
        "Kaplan",
        [
            *("kaplan", "kaplan-n", "kaplan-d", "kaplan-c", "kaplan-c-min", "kaplan-steps", "kaplan-batch"),
            *("kaplan-overfit", "kaplan-position", "kaplan-lr"),
        ],
    ),
    "parameters-and-tokens": (
        "Parameters and tokens",
        [
            *("chinchilla", "chinchilla-tied", "skaling", "farseer", "volkova", "two-systems", "two-systems-c"),
            *("rosenfeld", "schaipp"),
        ],
    ),
    "repeated-data": ("Repeated data and over-training", ["muennighoff", "lovelace", "goyal", "gadre"]),
    "downstream": (
        "Tasks, transfer and distillation",
        ["gadre-error", "sigmoid", "schaeffer", "hernandez", "hernandez-loss", "busbridge"],
    ),
    "architecture": (
        "Experts, sparsity, precision, vocabulary",
        ["clark", "krajewski", "abnar", "frantar", "kumar", "kumar-ptq", "tao", "pearce-song"],
    ),
    "domains": (
        "Other domains, reward and search",
        ["henighan-n", "henighan-c", "henighan-n-opt", "zhai", "gao-bon", "gao-rl", "monkeys", "scalerl"],
    ),
    "optima": (
        "Size, tokens, learning rate and batch",
        [
            *("n-opt", "d-opt", "m-opt", "s-opt", "enough-data", "lr-c", "lr-n", "lr-nd", "batch-c", "batch-n"),
            *("batch-d", "batch-l", "ema-timescale"),
        ],
    ),
    "curves": ("Learning curves", ["tissue", "multi-power"]),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those of the docs folder."""
    for name, text in law_pages().items():
        files.append(File.generated(config, f"{FOLDER}/{name}.md", content=text))
    return files


def law_pages() -> dict[str, str]:
    """Markdown of every page by its name.

    Raises:
        PluginError: a law stands on no page, on two, or a page names none that ships.
    """
    known, placed = [*LAWS, MULTI_POWER.name], [law for _, laws in TOPICS.values() for law in laws]
    if sorted(known) != sorted(placed):
        odd = sorted({*known} ^ {*placed}) or [law for law in known if placed.count(law) > 1]
        raise PluginError(f"laws that do not stand on one page each: {', '.join(odd)}; see TOPICS in {__file__}")
    pages = {name: _topic(title, laws) for name, (title, laws) in TOPICS.items()}
    return {"index": _index(), **pages, FRONTIERS: _frontiers()}


def _index() -> str:
    parts = [INDEX.format(laws=len(LAWS) + 1, sets=len(PRESETS), frontiers=f"{FRONTIERS}.md")]
    for name, (title, laws) in TOPICS.items():
        rows = "\n".join(_listed(law, name) for law in laws)
        parts.append(f"## [{title}]({name}.md)\n\n| law | gives | sets | source |\n|---|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def _listed(name: str, page: str) -> str:
    sheet = law_sheet(name)
    law = sheet["law"]
    assert law is not None
    gives = _math(f"{symbol(law['output'])}({', '.join(map(symbol, law['inputs']))})")
    return (
        f"| [{name}]({page}.md#{name}) | {gives} | {len(sheet['sets']) or ''} | <span>{escape(law['source'])}</span> |"
    )


def _topic(title: str, laws: list[str]) -> str:
    return f"# {title}\n\n" + "\n".join(_law(law) for law in laws)


def _law(name: str) -> str:
    sheet = law_sheet(name)
    law = sheet["law"]
    assert law is not None
    lines = "".join(_math(line, "block") for line in law["latex"].split(",\\quad "))
    reads = ", ".join(_math(symbol(key)) + (f" ({INPUTS[key]})" if key in INPUTS else "") for key in law["inputs"])
    parts = [
        f"## {name} {{ #{name} }}\n",
        f'<div class="law">{lines}</div>\n',
        f"<p>Reads {reads}; gives {_math(symbol(law['output']))}. Source: {escape(law['source'])}.</p>\n",
    ]
    if law["signed"]:
        parts.append(f"<p>May be zero or negative: {', '.join(_math(symbol(key)) for key in law['signed'])}.</p>\n")
    if law["note"]:
        parts.append(f"<p>Note: {escape(law['note'])}.</p>\n")
    parts += [_parameters(law["parameters"]), _sources(law)]
    if sheet["sets"]:
        parts += ["<p><strong>Published sets</strong></p>\n", _values(list(law["parameters"]), sheet["sets"])]
        parts.append(_origins(sheet["sets"]))
    return "\n".join(parts)


def _parameters(parameters: dict[str, Any]) -> str:
    rows = [
        [
            _math(symbol(key)),
            f"<code>{escape(key)}</code>",
            escape(p["meaning"]),
            f"<code>{escape(p['unit'])}</code>",
            escape(p["role"]),
            _domain(p["domain"]),
        ]
        for key, p in parameters.items()
    ]
    return _table(["", "name", "meaning", "unit", "role", "domain"], rows)


def _sources(law: dict[str, Any]) -> str:
    return (
        '<details class="abstract"><summary>As text and as LaTeX</summary>'
        f"<pre><code>{escape(law['formula'])}</code></pre><pre><code>{escape(law['latex'])}</code></pre></details>\n"
    )


def _values(names: list[str], sets: list[dict[str, Any]]) -> str:
    rows = [
        [_anchored(one["name"]), *(_value(one["values"][key], one["intervals"].get(key)) for key in names)]
        for one in sets
    ]
    return _table(["set", *(_math(symbol(key)) for key in names)], rows)


def _origins(sets: list[dict[str, Any]]) -> str:
    rows = [
        [
            f"<code>{escape(one['name'])}</code>",
            escape(one["source"]),
            escape(one["n_convention"]),
            escape(", ".join(f"{key}: {unit}" for key, unit in one["units"].items())),
            escape(one["log_base"] or ""),
            "yes" if one["verified"] else "<strong>no</strong>",
            escape(one["note"]),
        ]
        for one in sets
    ]
    return _table(["set", "source", "N counts", "units", "logarithm to base", "verified", "note"], rows)


def _frontiers() -> str:
    alone = [law_sheet(name)["sets"][0] for name, one in PRESETS.items() if not isinstance(one, Preset)]
    constants = [
        [
            _anchored(one["name"]),
            "<br/>".join(f"{_power(key)} = {_value(v, one['intervals'].get(key))}" for key, v in one["values"].items()),
        ]
        for one in alone
    ]
    return (
        "# Published frontiers\n\n"
        "Sets that are no constants of a law: powers of the budget, N = scale · C^exponent, D likewise and "
        "L = floor + (scale/C)^exponent; and exponents whose coefficients nobody gave, N_opt ~ C^a and D_opt ~ C^b "
        "unless the note says otherwise. C is in the unit named.\n\n"
        f"{_table(['set', 'constants'], constants)}\n## Where they are from\n\n{_origins(alone)}"
    )


def _power(key: str) -> str:
    quantity, _, part = key.partition("_")
    return f"{part} of {escape(quantity)}" if part in ("scale", "exponent") else _math(symbol(key))


def _anchored(name: str) -> str:
    return f'<code id="set-{escape(name)}">{escape(name)}</code>'


def _value(value: float, interval: list[float] | None) -> str:
    """Eight digits, more than most were printed with; the command line and the package have all of them."""
    printed = f"{value:.8g}"
    return printed if interval is None else f"{printed}<br/><small>{interval[0]:g} to {interval[1]:g}</small>"


def _domain(domain: list[float | None]) -> str:
    low, high = domain
    return f"{'−∞' if low is None else f'{low:g}'} to {'∞' if high is None else f'{high:g}'}"


def _math(latex: str, display: str = "inline") -> str:
    return str(convert(latex, display=display))


def _table(headings: list[str], rows: list[list[str]]) -> str:
    """Raw HTML, since units and names are full of what Markdown reads as marks; columns that are empty are left out."""
    kept = [i for i, heading in enumerate(headings) if any(row[i] for row in rows)]
    head = "".join(f"<th>{headings[i]}</th>" for i in kept)
    body = "".join(f"<tr>{''.join(f'<td>{row[i]}</td>' for i in kept)}</tr>" for row in rows)
    return f'<div class="constants"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
