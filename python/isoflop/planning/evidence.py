"""Rules of the learning rate, the batch and the warm-up, each with the runs that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Range = tuple[float, float]


@dataclass(frozen=True)
class Rule:
    """A published set of constants, and what it was fitted to.

    Attributes:
        name: what people call it.
        preset: of :data:`isoflop.laws.PRESETS`.
        ranges: of the runs behind it, by input: N, D, C. Empty where nobody attests one.
        runs: what these runs were.
    """

    name: str
    preset: str
    ranges: Mapping[str, Range] = field(default_factory=dict)
    runs: str = ""


_KAPLAN = {"N": (768.0, 1.5e9), "D": (2.2e7, 2.3e10)}
_STEP_LAW = {"N": (2.14e8, 1.08e9), "D": (4e9, 1e11)}
_DEEPSEEK = {"C": (1e17, 2e19)}
_PORIAN = {"N": (1e6, 1e9), "D": (7e6, 2.9e10)}

LEARNING_RATES = (
    Rule("Kaplan", "kaplan-eq-d-1", {"N": _KAPLAN["N"]}, "Adam, batches of 2**19 tokens, cosine to 0, WebText2"),
    Rule("Step Law", "step-law-lr", _STEP_LAW, "AdamW, grids of rate and batch; ranges of the dense runs published"),
    Rule("DeepSeek", "deepseek-lr", _DEEPSEEK, "AdamW, in steps; C = M D there counts attention, here it is 6 N D"),
    Rule("Porian", "porian-lr", _PORIAN, "AdamW, constant rate; ranges of the tuned runs published"),
)
"""Of the peak learning rate."""

BATCHES = (
    Rule("Kaplan, critical", "kaplan-table5-batch", _KAPLAN, "WebText2; follows the loss"),
    Rule("Step Law", "step-law-batch", _STEP_LAW, "AdamW, grids of rate and batch; ranges of the dense runs published"),
    Rule("DeepSeek", "deepseek-batch", _DEEPSEEK, "AdamW, in steps; C = M D there counts attention, here it is 6 N D"),
    Rule("MiniCPM", "minicpm-batch", {}, "a width parametrisation; follows the loss on its own corpus"),
)
"""Of the batch in tokens."""


@dataclass(frozen=True)
class WarmUp:
    """A practice of warming up: so many steps, tokens, or tokens a parameter; one of them is not zero.

    ``verified`` says whether it was read in the text of its paper.
    """

    name: str
    source: str
    steps: float = 0.0
    tokens: float = 0.0
    per_param: float = 0.0
    verified: bool = False

    def in_steps(self, n_params: float, batch_tokens: float) -> float:
        """Steps of a batch."""
        return self.steps + (self.tokens + self.per_param * n_params) / batch_tokens


WARM_UPS = (
    WarmUp("Kaplan", "Kaplan 2020 (arXiv 2001.08361), section 2.2", steps=3000, verified=True),
    WarmUp("GPT-3", "Brown 2020 (arXiv 2005.14165), appendix B", tokens=375e6),
    WarmUp("DeepSeek", "DeepSeek 2024 (arXiv 2401.02954), section 2.3", steps=2000),
    WarmUp("Porian", "Porian 2024 (arXiv 2406.19146), section 3: one token a parameter", per_param=1.0),
)
"""Linear warm-ups of published runs."""
