"""Commands that advise on a run before, while and after it is trained: ``advise``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoflop.cli.app import AsJson, Level, Verbs, app
from isoflop.cli.console import emit
from isoflop.cli.fits import read_runs
from isoflop.errors import PlanError

if TYPE_CHECKING:
    from isoflop.fitting import Curve, Fit

advise_app = typer.Typer(
    cls=Verbs,
    help="Advice on a run: its rates and schedule, vocabulary, when to stop, what its tasks' scores will be, and more.",
    no_args_is_help=True,
)
app.add_typer(advise_app, name="advise")

Params = Annotated[float, typer.Option(help="Parameters, N.", metavar="N")]
Tokens = Annotated[float, typer.Option(help="Tokens, D.", metavar="D")]


@advise_app.command(epilog="Example: isoflop advise rates --params 1e9 --tokens 2e10 --noise-scale 1e6")
def rates(
    params: Params,
    tokens: Annotated[list[float], typer.Option(help="Tokens, D; several for cool-downs off one trunk.", metavar="D")],
    batch: Annotated[float | None, typer.Option(help="Tokens of a batch; default Step Law's.")] = None,
    loss: Annotated[float | None, typer.Option(help="Expected at the end; default that of --law.")] = None,
    noise_scale: Annotated[float | None, typer.Option(help="Measured gradient noise scale, tokens.")] = None,
    law: Annotated[str, typer.Option(help="A published set of a law in N and D.")] = "chinchilla-besiroglu",
    cooldown: Annotated[float, typer.Option(help="Share of each run that its cool-down takes.")] = 0.2,
    as_json: AsJson = False,
) -> None:
    """Learning rate, batch, warm-up and schedule of a run by every published rule, each with its evidence."""
    from isoflop.planning import rates as find_rates
    from isoflop.planning import trunk

    found = find_rates(params, max(tokens), batch_tokens=batch, loss=loss, noise_scale=noise_scale, law=law)
    schedule = trunk(params, tokens, share=cooldown)
    if as_json:
        emit(found.to_dict() | {"schedule": schedule.to_dict()}, as_json)
    else:
        emit(f"{found}\n\n{schedule}", as_json)


@advise_app.command(epilog="Example: isoflop advise stop --params 1e9 --tokens 2e11")
def stop(
    params: Params,
    tokens: Tokens,
    unique: Annotated[float | None, typer.Option(help="Unique tokens of the corpus; default D.")] = None,
    batch: Annotated[float | None, typer.Option(help="Tokens of a batch.")] = None,
    loss: Annotated[float | None, typer.Option(help="Test loss of the run now, nats per token.")] = None,
    law: Annotated[str, typer.Option(help="A published set of a law in N and D.")] = "chinchilla-besiroglu",
    fit: Annotated[Path | None, typer.Option(help="A fit saved by isoflop fit --save, in the place of --law.")] = None,
    curve: Annotated[Path | None, typer.Option(help="The run so far: a file with the columns step and loss.")] = None,
    steps: Annotated[int | None, typer.Option(help="With --curve: steps of the whole run.")] = None,
    schedule: Annotated[str, typer.Option(help="With --curve: cosine, linear, wsd, constant.")] = "cosine",
    warmup: Annotated[int, typer.Option(help="With --curve: steps of warm-up.")] = 0,
    peak: Annotated[float, typer.Option(help="With --curve: the peak learning rate.")] = 1.0,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Whether to go on with a run: what the next PF-day buys, where overfitting sets in, and the loss at its end."""
    from isoflop.planning import continuing, overfitting

    so_far = None if curve is None else _curve(curve, steps, schedule, warmup, peak)
    basis = law if fit is None else _saved(str(fit))
    going = continuing(params, tokens, law=basis, loss=loss, curve=so_far, level=level)
    over = overfitting(params, unique or tokens, batch_tokens=batch)
    if as_json:
        emit({"continuing": going.to_dict(), "overfitting": over.to_dict()}, as_json)
    else:
        emit(f"{going}\n\n{over}", as_json)


@advise_app.command(epilog="Example: isoflop advise downstream --params 1.4e9 --tokens 2.8e10")
def downstream(
    params: Params,
    tokens: Tokens,
    loss_law: Annotated[str, typer.Option(help="A set, or a saved fit, of a loss of N and D.")] = "gadre-c4",
    link: Annotated[str, typer.Option(help="A set, or a saved fit, of a score of that loss.")] = "gadre-error-c4",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Error or accuracy on tasks that is expected of a run: N and D to a loss, the loss to the score."""
    from isoflop.planning import downstream as find

    found = find(params, tokens, loss_law=_saved(loss_law), link=_saved(link), level=level)
    emit(found.to_dict() if as_json else found, as_json)


@advise_app.command(epilog="Example: isoflop advise emergence scores.csv --column scale=C")
def emergence(
    scores: Annotated[Path, typer.Argument(help="A file with the columns scale, loss, hits and items.")],
    column: Annotated[list[str] | None, typer.Option(help="A column of the file by its name here: scale=C.")] = None,
    alpha: Annotated[float, typer.Option(help="Error level of both tests together.")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Whether a score's jump with scale is more than its metric: the same runs by loss and by score."""
    from isoflop.planning import emergence as find

    columns = read_runs(str(scores), column or ()).columns
    for name in ("scale", "loss", "hits", "items"):
        if name not in columns:
            raise PlanError(f"{scores} has no column {name!r}", hint=f"--column {name}=NAME, of {', '.join(columns)}")
    found = find(columns["scale"], columns["loss"], columns["hits"], columns["items"], alpha=alpha)
    emit(found.to_dict() if as_json else found, as_json)


@advise_app.command(epilog="Example: isoflop advise transfer --params 1e8 --data 1e6")
def transfer(
    params: Params,
    data: Annotated[float, typer.Option(help="Of the target, to fine-tune on, in the law's unit.", metavar="D_F")],
    law: Annotated[str, typer.Option(help="A set, or a saved fit, of D_T of D_F and N.")] = "hernandez-text",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """How much data of the target pre-training is worth, where little is at hand."""
    from isoflop.planning import transfer as find

    found = find(params, data, _saved(law), level=level)
    emit(found.to_dict() if as_json else found, as_json)


@advise_app.command(epilog="Example: isoflop advise reward --alpha 0.7 --beta 0.1")
def reward(
    alpha: Annotated[float | None, typer.Option(help="Of the law of the true reward.")] = None,
    beta: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    method: Annotated[str, typer.Option(help="Whose they are: gao-bon, best of n, or gao-rl.")] = "gao-bon",
    fit: Annotated[Path | None, typer.Option(help="In their place, a saved fit of either law.")] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """The divergence past which a reward model is over-optimised."""
    from isoflop.planning import best_kl

    if fit is None and (alpha is None or beta is None):
        raise PlanError("the law of the true reward was not given", hint="--alpha and --beta, or --fit")
    if fit is not None:
        from isoflop.fitting import Fit

        found = best_kl(Fit.load(fit), level=level)
    else:
        found = best_kl({"alpha": alpha or 0.0, "beta": beta or 0.0}, method=method)
    emit(found.to_dict() if as_json else found, as_json)


@advise_app.command(epilog="Example: isoflop advise vocabulary --params 7e9 --width 4096")
def vocabulary(
    params: Params,
    width: Annotated[int, typer.Option(min=1, help="d_model.")],
    as_json: AsJson = False,
) -> None:
    """The vocabulary that a model of these parameters, its own not counted, deserves."""
    from isoflop.planning import vocabulary as find

    found = find(params, width)
    emit(found.to_dict() if as_json else found, as_json)


@advise_app.command(epilog="Example: isoflop advise curve --law zhai-fine-tune --compute 1e4")
def curve(
    law: Annotated[str, typer.Option(help="A set, or a saved fit, of a law of compute alone.")],
    compute: Annotated[float | None, typer.Option(help="In the unit of the set.")] = None,
    value: Annotated[float | None, typer.Option(help="In its place, the loss, error or reward to reach.")] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """What compute buys where it is all that a law sees: vision, rewards, losses along a frontier."""
    from isoflop.planning import buys

    found = buys(_saved(law), compute=compute, value=value, level=level)
    emit(found.to_dict() if as_json else found, as_json)


def _saved(name: str) -> str | Fit:
    if not name.endswith(".json"):
        return name
    from isoflop.fitting import Fit

    return Fit.load(name)


def _curve(path: Path, steps: int | None, schedule: str, warmup: int, peak: float) -> Curve:
    from isoflop.fitting import Curve, read_file
    from isoflop.train.schedules import Schedule

    if steps is None:
        raise PlanError("the length of the run was not said", hint="--steps 20000, of the whole run")
    columns = read_file(path).columns
    for name in ("step", "loss"):
        if name not in columns:
            raise PlanError(f"{path} has no column {name!r}", hint=f"it has {', '.join(columns)}")
    rates = peak * Schedule(schedule, warmup=warmup).rates(steps)
    return Curve(columns["step"], columns["loss"], rates, warmup)
