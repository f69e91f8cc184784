"""Other tools on the same work, for the page that compares: whichever of them this Python has, the others are named.

    python bench/other_tools.py fits svg_extracted_data.csv   the 240 points of Besiroglu 2024, fitted
    python bench/other_tools.py counts                        forward FLOPs of GPT-2 small, of one sequence

``simple-scaling-laws`` needs Python 3.12: an environment without isoflop serves, each tool is asked for by itself.
``chinchilla`` begins from the 243 of Hoffmann's 4500 starts that lie about the answer. Seconds are of all processes, on
cores: what else the machine does falls on the clock alone.
"""

from __future__ import annotations

import csv
import functools
import importlib
import resource
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

DELTA = 1e-3
GRID = {
    "E": np.exp([0.0, 0.5, 1.0]).tolist(),
    "A": np.exp([0.0, 5.0, 10.0]).tolist(),
    "B": np.exp([5.0, 10.0, 15.0]).tolist(),
    "alpha": [0.0, 0.5, 1.0],
    "beta": [0.0, 0.5, 1.0],
}
LAYERS, WIDTH, HEADS, VOCABULARY, SEQ = 12, 768, 12, 50257, 1024

Columns = Mapping[str, np.ndarray]
Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]


def points(path: str) -> Columns:
    """N, D and loss of the 245 points less the five highest losses; D is C/(6 N)."""
    with Path(path).open() as file:
        rows = list(csv.DictReader(file))
    n, c, loss = (np.array([float(row[key]) for row in rows]) for key in ("Model Size", "Training FLOP", "loss"))
    keep = loss <= np.sort(loss)[-6]
    return {"N": n[keep], "D": (c / (6 * n))[keep], "L": loss[keep]}


def additive(p: Mapping[str, float]) -> Predict:
    return lambda n, d: p["E"] + p["A"] / n ** p["alpha"] + p["B"] / d ** p["beta"]


def by_isoflop(data: Columns, objective: str) -> tuple[Mapping[str, float], Predict]:
    iso = importlib.import_module("isoflop")
    chosen = {"Huber": iso.Huber(DELTA), "least squares of logarithms": iso.LeastSquares()}[objective]
    params = iso.fit("chinchilla", dict(data), objective=chosen).params
    return params, additive(params)


def by_chinchilla(data: Columns, objective: str) -> tuple[Mapping[str, float], Predict]:
    package = importlib.import_module("chinchilla")
    huber = functools.partial(importlib.import_module("chinchilla._metrics").log_huber, delta=DELTA)
    told = {} if objective == "its default" else {"loss_fn": huber}
    with TemporaryDirectory() as folder:
        table = np.stack([6 * data["N"] * data["D"], data["N"], data["D"], data["L"]], axis=1)
        file = Path(folder, "df.csv")
        np.savetxt(file, table, delimiter=",", header="C,N,D,loss", comments="", fmt="%.17g")
        fitted = package.Chinchilla(project_dir=folder, param_grid=GRID, log_level=40, **told)
        fitted.fit(parallel=True)
    params = {name: float(getattr(fitted, name)) for name in GRID}
    return params, additive(params)


def by_simple_scaling_laws(data: Columns, objective: str) -> tuple[Mapping[str, float], Predict]:
    package = importlib.import_module("simple_scaling_laws")
    polars = importlib.import_module("polars")
    sizes = {"model_size__N": data["N"], "dataset_size__D": data["D"]}
    table = {"training_run_id": [str(i) for i in range(len(data["N"]))], "test_set_id": ["held out"] * len(data["N"])}
    model = package.fit(
        polars.DataFrame({**table, **sizes, "test_loss__L": data["L"]}), law="separable-power", n_draws=200, seed=0
    )

    def predict(n: np.ndarray, d: np.ndarray) -> np.ndarray:
        asked = model.predict(polars.DataFrame({"model_size__N": n, "dataset_size__D": d}))
        return np.asarray(asked["test_loss__L__median"].to_numpy())

    # Its A and B are those of sizes that it scales; the others are those of the law.
    return {key: value for key, value in model.params("test_loss__L").items() if key not in "AB"}, predict


# The last of the calls is timed: the first may load and compile.
FITS = [
    ("isoflop", by_isoflop, "Huber", 3),
    ("isoflop", by_isoflop, "least squares of logarithms", 3),
    ("chinchilla", by_chinchilla, "Huber", 1),
    ("chinchilla", by_chinchilla, "its default", 1),
    ("simple-scaling-laws", by_simple_scaling_laws, "its own, 200 draws", 3),
]


def fits(path: str) -> None:
    data = points(path)
    for package, fitted_by, objective, calls in FITS:
        if (found := installed(package)) is None:
            continue
        for _ in range(calls):
            began = of_cores()
            params, predict = fitted_by(data, objective)
            seconds = of_cores() - began
        residuals = np.log(predict(data["N"], data["D"]) / data["L"])
        size = np.abs(residuals)
        huber = np.where(size <= DELTA, residuals**2 / 2, DELTA * (size - DELTA / 2)).sum()
        share = params["beta"] / (params["alpha"] + params["beta"])
        shown = " ".join(f"{name} {value:.6g}" for name, value in params.items())
        told = f"{package} {found}, {objective}: {seconds:.3f} s, {shown}, N ~ C**{share:.3f}, Huber sum {huber:.12f}"
        print(told, flush=True)


def of_cores() -> float:
    """Seconds that this process and those it has waited for have had of cores."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def by_torch(model: Any, tokens: Any) -> float:
    counter = importlib.import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter:
        model(tokens)
    return float(counter.get_total_flops())


def by_torch_on_meta(model: Any, tokens: Any) -> float:
    return by_torch(model.to("meta"), tokens.to("meta"))


def by_trace(model: Any, tokens: Any) -> float:
    with importlib.import_module("isoflop").trace(model) as counted:
        model(tokens)
    return float(counted.forward.products)


def by_fvcore(model: Any, tokens: Any) -> float:
    return 2.0 * float(importlib.import_module("fvcore.nn").FlopCountAnalysis(model, tokens).total())


def by_calflops(model: Any, tokens: Any) -> float:
    count = importlib.import_module("calflops").calculate_flops
    return float(count(model, args=[tokens], print_results=False, output_as_string=False)[0])


def by_thop(model: Any, tokens: Any) -> float:
    return 2.0 * float(importlib.import_module("thop").profile(model, inputs=(tokens,), verbose=False)[0])


def by_torchinfo(model: Any, tokens: Any) -> float:
    return 2.0 * float(
        importlib.import_module("torchinfo").summary(model, input_data=tokens, verbose=0).total_mult_adds
    )


COUNTS = [
    ("isoflop", by_trace),
    ("torch", by_torch),
    ("torch", by_torch_on_meta),
    ("fvcore", by_fvcore),
    ("calflops", by_calflops),
    ("thop", by_thop),
    ("torchinfo", by_torchinfo),
]


def gpt2(torch: Any) -> Any:
    """GPT-2 small of torch's own modules, which every counter knows: no positions, which cost no products."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: Any) -> Any:
            q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.qkv(self.first(x)).chunk(3, -1))
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).flatten(-2))
            return x + self.mlp(self.second(x))

    blocks = [Block() for _ in range(LAYERS)]
    return nn.Sequential(
        nn.Embedding(VOCABULARY, WIDTH), *blocks, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
    ).eval()


def counts() -> None:
    """The same model for all; what is counted in multiply-adds is doubled. 1 is all products of matrices, unmasked."""
    torch = importlib.import_module("torch")
    exact = SEQ * (LAYERS * (24 * WIDTH**2 + 4 * SEQ * WIDTH) + 2 * WIDTH * VOCABULARY)
    for package, counted_by in COUNTS:
        if (found := installed(package)) is None:
            continue
        with torch.no_grad():
            flops = counted_by(gpt2(torch), torch.zeros(1, SEQ, dtype=torch.long))
        print(f"{package} {found}, {counted_by.__name__}: {flops:.6g} FLOPs, {flops / exact:.4f} of {exact:.6g}")


def installed(package: str) -> str | None:
    """Its version; where it is not here, that is said."""
    try:
        return version(package)
    except PackageNotFoundError:
        print(f"{package}: not installed in this Python")
        return None


def main(arguments: list[str]) -> None:
    if len(arguments) == 2 and arguments[0] == "fits":
        fits(arguments[1])
    elif arguments == ["counts"]:
        counts()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
