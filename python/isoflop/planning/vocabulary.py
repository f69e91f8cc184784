"""How large a vocabulary a model deserves: its parameters grow with those of the rest, more slowly.

    N_v = d_model V ~ N_nv^gamma        (Tao 2024, arXiv 2407.13623, section 3)

The exponent is the paper's; so is the one optimum that it is taken from, a vocabulary of 216,000 for a model as wide
as Llama 2's of 70B (abstract). The constants of the paper's law of the loss are in units nobody attests.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from isoflop.errors import PlanError
from isoflop.laws.presets import Exponents, get_preset
from isoflop.planning.page import Page, Paged, credits, quantity

EXPONENT = "tao-optimum"
KNOWN = (7e10, 216_000 * 8192.0)
"""Parameters outside and of the vocabulary of the optimum that the rest is taken from."""
_MULTIPLE = 64


@dataclass(frozen=True)
class Vocabulary(Paged):
    """The vocabulary of a planned model.

    Attributes:
        n_params, d_model: of the model, the former without the vocabulary's.
        n_vocab: tokens of it, a multiple of 64.
        n_vocab_params: d_model times as many.
        share: of all parameters, those of the vocabulary, input and output tied.
        law, source: of the exponent.
    """

    n_params: float
    d_model: int
    n_vocab: int
    n_vocab_params: float
    share: float
    law: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @property
    def page(self) -> Page:
        """As it is shown."""
        rows = [
            quantity("V", self.n_vocab, None, "tokens of the vocabulary"),
            quantity("N_v", self.n_vocab_params, None, "parameters of it"),
            quantity("", self.share, None, "of all parameters"),
        ]
        head = f"vocabulary of {self.n_params:.4g} parameters, {self.d_model} wide"
        warnings = [
            "taken from one optimum by one exponent: the paper's three approaches differ by about a tenth",
            "of models trained at the compute optimum: one trained longer deserves a larger vocabulary",
        ]
        return Page(head, rows, credits(self.law, self.source, "", (), warnings))


def vocabulary(n_params: float, d_model: int, *, known: tuple[float, float] = KNOWN) -> Vocabulary:
    """The vocabulary that is optimal at the compute optimum of a model.

    Args:
        n_params: N_nv, parameters outside the vocabulary.
        d_model: width of the model, and of its embeddings.
        known: N_nv and N_v of an optimum that you know; the paper's for a model as Llama 2's of 70B unless given.

    Raises:
        PlanError: a number that is not positive and finite.
    """
    for name, value in (("n_params", n_params), ("d_model", d_model), ("known", min(known)), ("known", max(known))):
        if not 0 < value < math.inf:
            raise PlanError(f"{name} = {value!r} of a vocabulary", hint="a positive number")
    published = get_preset(EXPONENT)
    assert isinstance(published, Exponents)
    params = known[1] * (n_params / known[0]) ** published.values["gamma"]
    n_vocab = max(_MULTIPLE, round(params / d_model / _MULTIPLE) * _MULTIPLE)
    own = float(n_vocab) * d_model
    return Vocabulary(n_params, d_model, n_vocab, own, own / (own + n_params), EXPONENT, published.source)
