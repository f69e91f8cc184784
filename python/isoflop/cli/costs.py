"""Commands about costs: ``count`` for a shape, ``info`` for this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from isoflop.cli.app import AsJson, app
from isoflop.cli.console import emit, plain, print_table, read_fields

_PASSES = ("forward", "dgrad", "wgrad")


@app.command(epilog="Example: isoflop count gpt2-xl --device h100-sxm --batch 8")
def count(
    name: Annotated[str | None, typer.Argument(help="A published model: gpt2-xl, llama-3-8b.", metavar="NAME")] = None,
    n_layer: Annotated[int | None, typer.Option(help="Blocks.")] = None,
    d_model: Annotated[int | None, typer.Option(help="Width.")] = None,
    n_head: Annotated[int | None, typer.Option(help="Query heads.")] = None,
    n_ctx: Annotated[int | None, typer.Option(help="Context, tokens.")] = None,
    n_vocab: Annotated[int | None, typer.Option(help="Vocabulary.")] = None,
    d_ff: Annotated[int | None, typer.Option(help="Hidden width; default 4 d_model.")] = None,
    n_kv_head: Annotated[int | None, typer.Option(help="Key/value heads; default n_head.")] = None,
    d_head: Annotated[int | None, typer.Option(help="Width of a head; default d_model / n_head.")] = None,
    norm: Annotated[str | None, typer.Option(help="layer (the default) or rms.")] = None,
    activation: Annotated[str | None, typer.Option(help="gelu (the default), relu2 or swiglu.")] = None,
    position: Annotated[str | None, typer.Option(help="learned (the default), rope or none.")] = None,
    bias: Annotated[bool | None, typer.Option(help="Biases; the default.")] = None,
    tied_embeddings: Annotated[bool | None, typer.Option(help="Unembedding is the token table; the default.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="Any other field of a shape: window=4096.")] = None,
    batch: Annotated[int, typer.Option(help="Sequences.")] = 1,
    seq: Annotated[int | None, typer.Option(help="Tokens of a sequence; default n_ctx.")] = None,
    convention: Annotated[list[str] | None, typer.Option(help="Show this one alone; may be repeated.")] = None,
    device: Annotated[str | None, typer.Option(help="Time and memory on it: h100-sxm.")] = None,
    dtype: Annotated[str, typer.Option(help="With --device: of the matrix products.")] = "bf16",
    as_json: AsJson = False,
) -> None:
    """Parameters and FLOPs of a published model, or of any shape, by every counting convention side by side.

    Fields given beside NAME replace its own.
    """
    from isoflop.counting.sheet import cost_sheet
    from isoflop.shape import Shape
    from isoflop.shape.named import get_named

    given = {key: value for key, value in locals().items() if key in Shape.__dataclass_fields__ and value is not None}
    given |= read_fields(field or [])
    model = None if name is None else get_named(name)
    shape = Shape.from_dict(given) if model is None else model.shape.replace(**given)
    sheet = cost_sheet(shape, batch=batch, seq=seq, conventions=convention or (), on=device, dtype=dtype)
    if model is not None and not given:
        published = {"name": model.name, "params": model.params, "outside": model.outside}
        sheet = {"published": published | {"source": model.source, "note": model.note}, **sheet}
    emit(sheet, as_json) if as_json else _show_sheet(sheet)


@app.command(epilog="Example: isoflop info --json")
def info(as_json: AsJson = False) -> None:
    """Versions, CPU instruction sets, memory, and GPUs if any."""
    from isoflop import hardware

    facts = hardware.info().to_dict()
    if as_json:
        emit(facts, as_json)
        return
    packages = facts.pop("packages")
    facts |= {name: version or "not installed" for name, version in packages.items()}
    print_table(("", ""), ((name, plain(value)) for name, value in facts.items()))


def _show_sheet(sheet: dict[str, Any]) -> None:
    published = sheet.get("published")
    if published:
        print(f"{published['name']}: {published['params']:,.0f} parameters as published; {published['source']}")
        if published["outside"]:
            print(f"of them {published['outside']:,} of kinds not counted here: {published['note']}")
        elif published["note"]:
            print(f"note: {published['note']}")
    params = ["n_params", "n_embedding", "n_nonembedding"]
    if sheet["n_active_params"] != sheet["n_params"]:
        params.insert(1, "n_active_params")
    print_table(("parameters", ""), ((key, f"{sheet[key]:,}") for key in params))
    n_tokens = sheet["batch"] * sheet["seq"]
    every = sum(sum(passes.values()) for passes in sheet["terms"].values())
    rows = (
        (term, *(f"{passes[name] / n_tokens:.6g}" for name in _PASSES), f"{sum(passes.values()) / every:.2%}")
        for term, passes in sheet["terms"].items()
    )
    print_table(("term, FLOPs/token", "forward", "activation gradients", "weight gradients", "share"), rows)
    tokens = f"{sheet['batch']:,} x {sheet['seq']:,} tokens"
    on = sheet.get("device")
    columns = {
        "training FLOPs/token": (sheet["training_flops_per_token"], ".5g"),
        "of exact": (sheet["ratio_to_exact"], ".3f"),
        tokens: (sheet["training_flops"], ".4g"),
        **({"MFU at best": (on["mfu"], ".1%")} if on else {}),
    }
    few = len(sheet["sources"]) < 4  # room for whole sources
    cells = (
        (name, *(f"{values[name]:{form}}" for values, form in columns.values()), source if few else _who(source))
        for name, source in sheet["sources"].items()
    )
    print_table(("convention", *columns, "source"), cells)
    if on:
        _show_device(on, tokens)


def _who(source: str) -> str:
    return source.partition(":")[0].partition(", embeddings")[0].partition(", attention")[0]


def _show_device(on: dict[str, Any], tokens: str) -> None:
    gigabytes = {key: f"{on[key] / 1e9:,.1f} GB" for key in ("memory_bytes", "state_bytes", "needed_bytes")}
    rows = [
        ("dense peak", f"{on['peak_flops'] / 1e12:,.4g} TFLOP/s, {on['dtype']}"),
        ("memory", gigabytes["memory_bytes"]),
        ("parameters, gradients, AdamW in mixed precision", gigabytes["state_bytes"]),
        (f"needed for {tokens}", gigabytes["needed_bytes"]),
        ("largest batch that fits", f"{on['largest_batch']:,}"),
        ("a step at the ceilings, at best", f"{on['seconds']:.4g} s, {on['tokens_per_second']:,.0f} tokens/s"),
    ]
    print_table((on["name"], ""), rows)
