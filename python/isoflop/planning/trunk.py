"""Several D of one model: cool-downs off one trunk at a constant learning rate, against a run for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from isoflop.errors import PlanError
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.presets import PF_DAY
from isoflop.planning.page import Shown

SOURCE = "Hägele 2024 (arXiv 2405.18392)"


@dataclass(frozen=True)
class Trunk(Shown):
    """Cool-downs off one trunk.

    Attributes:
        n_params: N.
        n_tokens: D of every point, ascending.
        leaves: tokens after which each cool-down leaves the trunk.
        share: of each point's tokens that its cool-down takes.
        compute: FLOPs of trunk and cool-downs together.
        apart: FLOPs of a run for each.
        source: of the practice.
    """

    n_params: float
    n_tokens: tuple[float, ...]
    leaves: tuple[float, ...]
    share: float
    compute: float
    apart: float
    source: str = SOURCE

    @property
    def saved(self) -> float:
        """FLOPs that the trunk saves."""
        return self.apart - self.compute

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"saved": self.saved}

    def __str__(self) -> str:
        rows = [
            f"  D = {d:.4g}: leaves the trunk after {start:.4g} tokens and falls for {d - start:.4g}"
            for d, start in zip(self.n_tokens, self.leaves, strict=True)
        ]
        if len(rows) == 1:
            return "\n".join(["one D: nothing to share; a cosine to zero over the run serves as well", *rows, SOURCE])
        head = (
            f"warm-up, constant, then a fall by 1 - sqrt over the last {self.share:.0%} (wsd): "
            f"{self.compute:.4g} FLOP, against {self.apart:.4g} for {len(rows)} runs apart"
        )
        saved = f"{self.saved:.4g} FLOP ({self.saved / PF_DAY:.3g} PF-days, {self.saved / self.apart:.0%}) saved"
        rate = "the best constant rate is about half the best peak of a cosine"
        return "\n".join([head, *rows, saved, f"{rate}; {self.source}"])


def trunk(n_params: float, n_tokens: Sequence[float], *, share: float = 0.2) -> Trunk:
    """One model at several D by a trunk with cool-downs: where each leaves, and what it saves.

    The trunk is trained once, to where the last cool-down leaves: (1 - share) max D + share sum D tokens in all,
    against sum D. Cool-downs of 10-20 % of a run reach a cosine's loss (Hägele 2024, arXiv 2405.18392).

    Args:
        n_params: N.
        n_tokens: the D that are wanted, each once.
        share: of each point's tokens that its cool-down takes.

    Raises:
        PlanError: no D, one that is not positive and finite or stands twice, or a share outside (0, 1).
    """
    wanted = sorted(float(d) for d in n_tokens)
    wrong = [value for value in (n_params, *wanted) if not (math.isfinite(value) and value > 0)]
    if wrong or not wanted or len(set(wanted)) < len(wanted):
        raise PlanError(
            f"N = {n_params} and D = {wanted}: positive numbers, each D once", hint="trunk(1e9, [1e10, 2e10])"
        )
    if not 0 < share < 1:
        raise PlanError(f"the share of a cool-down must lie between 0 and 1, got {share}", hint="share=0.2")
    per_token = FLOP_PER_PARAM_TOKEN * n_params
    together = (1 - share) * wanted[-1] + share * sum(wanted)
    leaves = tuple((1 - share) * d for d in wanted)
    return Trunk(n_params, tuple(wanted), leaves, share, per_token * together, per_token * sum(wanted))
