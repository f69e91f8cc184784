"""The roofline of a device with kernels under it (Williams et al. 2009)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Study
from isoflop.report.style import SERIES

_MARKERS = "osD^vP*X<>hp"


@panel
def roofline(study: Study, ax: Axes) -> None:
    """FLOP/s against FLOPs a byte: a device's ceilings and its kernels, a marker an op, filled where forward."""
    if study.roof is None:
        raise LacksData("no device was named", hint="--device h100-sxm, or --bench FILE of isoflop bench")
    roof = study.roof
    intensity = np.array([kernel.intensity for kernel in roof.kernels])
    x = np.geomspace(
        min(intensity.min(), 0.1), max(intensity.max() * 2, 2 * max(roof.peaks.values()) / roof.bandwidth), 400
    )
    for style, (name, peak) in zip(("-", "--"), roof.peaks.items(), strict=False):
        ax.plot(x, np.minimum(x * roof.bandwidth, peak), color="0.2", lw=1.4, ls=style, label=f"{name}: {_si(peak)}")
    ops = list(dict.fromkeys(kernel.name.rpartition(" ")[0] for kernel in roof.kernels))
    for kernel in roof.kernels:
        op, _, phase = kernel.name.rpartition(" ")
        at = ops.index(op)
        colour = SERIES[at % len(SERIES)]
        ax.plot(kernel.intensity, kernel.rate, _MARKERS[at % len(_MARKERS)], color=colour, ms=5,
                mfc=colour if phase == "forward" else "none")  # fmt: skip
    for at, op in enumerate(ops):
        ax.plot([], [], _MARKERS[at % len(_MARKERS)], color=SERIES[at % len(SERIES)], ms=5, label=op)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("arithmetic intensity, FLOPs a byte")
    ax.set_ylabel(f"{'reached' if roof.measured else 'within reach'}, FLOP/s (open: backward)")
    ax.legend(loc="lower right", fontsize=6.5, ncols=2)
    ax.set_title(f"Roofline of {roof.device}, {roof.bandwidth / 1e12:.3g} TB/s")


def _si(rate: float) -> str:
    return f"{rate / 1e12:.4g} TFLOP/s"
