"""Other tools on the same work, for the page that compares: whichever of them this Python has, the others are named.

    python bench/other_tools.py fits svg_extracted_data.csv   the 240 points of Besiroglu 2024, fitted
    python bench/other_tools.py counts                        forward FLOPs of GPT-2 small, of one sequence

``simple-scaling-laws`` needs Python 3.12. ``chinchilla`` begins from the 243 of Hoffmann's 4500 starts that lie about
the answer. Seconds are of all processes, on cores: what else the machine does falls on the clock alone.
"""

from __future__ import annotations

import csv
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from isoflop.benchmark import beside, fitters
from isoflop.benchmark.fitters import Columns, Fitted

# The last of the calls is timed: the first may load and compile.
FITS: list[tuple[str, str, Callable[[Columns], Fitted], int]] = [
    ("isoflop", "Huber", fitters.by_isoflop, 3),
    ("isoflop", "least squares of logarithms", partial(fitters.by_isoflop, huber=False), 3),
    ("scipy", f"Huber, {4500 // fitters.SHARE} starts", fitters.by_scipy, 1),
    ("chinchilla", "Huber", partial(fitters.by_chinchilla, parallel=True), 1),
    ("chinchilla", "its default", partial(fitters.by_chinchilla, huber=False, parallel=True), 1),
    ("simple-scaling-laws", "its own, 200 draws", fitters.by_simple_scaling_laws, 3),
]


def points(path: str) -> Columns:
    """N, D and loss of the 245 points less the five highest losses; D is C/(6 N)."""
    with Path(path).open() as file:
        rows = list(csv.DictReader(file))
    n, c, loss = (np.array([float(row[key]) for row in rows]) for key in ("Model Size", "Training FLOP", "loss"))
    keep = loss <= np.sort(loss)[-6]
    return {"N": n[keep], "D": (c / (6 * n))[keep], "L": loss[keep]}


def fits(path: str) -> None:
    data = points(path)
    for package, objective, fitted_by, calls in FITS:
        if (found := installed(package)) is None:
            continue
        for _ in range(calls):
            began = of_cores()
            params, predict = fitted_by(data)
            seconds = of_cores() - began
        share = params["beta"] / (params["alpha"] + params["beta"])
        shown = " ".join(f"{name} {value:.6g}" for name, value in params.items())
        huber = fitters.huber_sum(data, predict)
        told = f"{package} {found}, {objective}: {seconds:.3f} s, {shown}, N ~ C**{share:.3f}, Huber sum {huber:.12f}"
        print(told, flush=True)


def of_cores() -> float:
    """Seconds that this process and those it has waited for have had of cores."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def counts() -> None:
    """The same model for all; what is counted in multiply-adds is doubled. 1 is all products of matrices, unmasked."""
    for tool in beside.counts():
        if (found := installed(tool.package)) is not None:
            print(f"{tool.package} {found}, {tool.how}: {tool.run():.4f} of all products", flush=True)


def installed(package: str) -> str | None:
    """Its version; where it is not here, that is said."""
    if (found := beside.installed(package)) is None:
        print(f"{package}: not installed in this Python")
    return found


def main(arguments: list[str]) -> None:
    if len(arguments) == 2 and arguments[0] == "fits":
        fits(arguments[1])
    elif arguments == ["counts"]:
        counts()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
