"""What a wheel alone must do: count, fit a known law back, find its data files; no torch, no source tree."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np

import isoflop as iso

root = Path(__file__).resolve().parents[1]
assert root not in Path(iso.__file__).resolve().parents, "imported from the source tree"
assert (files("isoflop") / "examples" / "quickstart.toml").is_file()
assert (files("isoflop") / "py.typed").is_file()
assert (files("isoflop.report.page") / "planner.js").is_file()

gpt2 = iso.Shape(n_layer=12, d_model=768, n_head=12, n_ctx=1024, n_vocab=50257)
assert gpt2.n_params == 124_439_808

n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6)))
loss = 1.7 + 400 / n**0.34 + 410 / d**0.28
fit = iso.fit("chinchilla", {"N": n, "D": d, "L": loss})
assert abs(fit.params["alpha"] - 0.34) < 0.01, fit.params
assert abs(fit.params["beta"] - 0.28) < 0.01, fit.params

assert "torch" not in sys.modules
print(f"isoflop {iso.__version__}: counts, data files and a fit of {len(loss)} points are right")
