"""The pages, what stands fenced in them, and the files of a user whom they speak to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

FENCE = re.compile(r"^```([^`\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(page: Path) -> list[tuple[str, str]]:
    """The words behind the opening of each fence of a page, and what it holds."""
    return FENCE.findall(page.read_text())


def fenced(page: Path, language: str) -> list[str]:
    """What the fences of a page hold that are of this language."""
    return [code for words, code in fences(page) if words == language]


def user_files() -> dict[str, str]:
    """Tables of a user by file name: a tracker's export, runs of two optimizers, a curve, and scores of a task."""
    grid = [(n, d) for n in (1e7, 3e7, 1e8, 3e8) for d in (1e9, 3e9, 1e10)]
    systems = [(system, rho, n, d) for system, rho in (("adamw", 1.0), ("muon", 1.5)) for n, d in grid]
    scales = [(10**e, 1.5 * 10 ** (-0.1 * (e - 7)) * (1 + 0.003 * (-1) ** i)) for i, e in enumerate(range(7, 15))]
    return {
        "export.csv": table(
            "Name,State,n_params,tokens,eval/loss",
            (f"r{n:g}-{d:g},finished,{n:g},{d:g},{1.8 + 480 / n**0.35 + 2100 / d**0.37:.5f}" for n, d in grid),
        ),
        "runs.csv": table(
            "run,optimizer,N,D,loss",
            (
                f"{system}-{n:g}-{d:g},{system},{n:g},{d:g},{1.7 + 400 / n**0.34 + 1500 / (rho * d) ** 0.37:.5f}"
                for system, rho, n, d in systems
            ),
        ),
        "curve.csv": table("step,loss", (f"{step},{2.0 + 9.0 * step**-0.5:.5f}" for step in range(600, 12_001, 100))),
        "scores.csv": table(
            "C,loss,hits,items", (f"{c:g},{loss:.5f},{round(1000 * math.exp(-5 * loss))},1000" for c, loss in scales)
        ),
    }


def table(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, *rows]) + "\n"
