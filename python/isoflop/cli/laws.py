"""Commands about laws: the ones there are, and one of them with its constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoflop.cli.app import AsJson, Verbs, app
from isoflop.cli.console import emit, print_table

if TYPE_CHECKING:
    from isoflop.laws.sheet import Sheet

laws_app = typer.Typer(
    cls=Verbs, help="Scaling laws: formulas, published constants, sources.", invoke_without_command=True
)
app.add_typer(laws_app, name="laws")


@laws_app.callback(epilog="Example: isoflop laws show chinchilla")
def laws(context: typer.Context, as_json: AsJson = False) -> None:
    """All laws, with how many sets of constants were published for each and where it was printed."""
    if context.invoked_subcommand is not None:
        return
    from isoflop.laws.sheet import law_table

    rows = law_table()
    if as_json:
        emit(rows, as_json)
        return
    headings = ("law", "formula", "sets", "source")
    print_table(headings, ((row["name"], row["formula"], str(len(row["sets"])), row["source"]) for row in rows))
    print("isoflop laws show NAME: a law or a published set in full")


@laws_app.command(epilog="Example: isoflop laws show chinchilla-besiroglu")
def show(
    name: Annotated[str, typer.Argument(help="A law or a published set: chinchilla, kaplan-table2.", metavar="NAME")],
    as_json: AsJson = False,
) -> None:
    """A law: formula, parameters, and every set of constants published for it; or one such set."""
    from isoflop.laws.sheet import law_sheet

    sheet = law_sheet(name)
    if as_json:
        emit(sheet, as_json)
        return
    _show(sheet)


def _show(sheet: Sheet) -> None:
    law: dict[str, Any] | None = sheet["law"]
    if law is not None:
        print(f"{law['name']}: {law['source']}\n")
        print("\n".join(f"  {line}" for line in law["formula"].replace(";", "\n").splitlines() if line.strip()))
        print(f"\ninputs: {', '.join(law['inputs'])}")
        if law["note"]:
            print(f"note: {law['note']}")
        parameters = law["parameters"]
        rows = ((key, p["meaning"], p["unit"], _interval(p["domain"])) for key, p in parameters.items())
        print_table(("parameter", "meaning", "unit", "domain"), rows)
    for published in sheet["sets"]:
        mark = "" if published["verified"] else " [not verified]"
        print(f"{published['name']}{mark}: {published['source']}")
        for key, value in published["values"].items():
            low_high = published["intervals"].get(key)
            interval = f"  95 % {low_high[0]:g} to {low_high[1]:g}" if low_high else ""
            print(f"  {key} = {value:.10g}{interval}")
        facts = [f"{key} in {unit}" for key, unit in published["units"].items()]
        if published["n_convention"]:
            facts.insert(0, f"N counts {published['n_convention']} parameters")
        if facts:
            print(f"  {', '.join(facts)}")
        if published["note"]:
            print(f"  note: {published['note']}")
        print()


def _interval(domain: list[float | None]) -> str:
    low, high = domain
    return f"{'any' if low is None else f'{low:g}'} to {'any' if high is None else f'{high:g}'}"
