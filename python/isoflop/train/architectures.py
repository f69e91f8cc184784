"""Which model trains which architecture."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from isoflop.shape import Shape
from isoflop.train.language_model import LanguageModel
from isoflop.train.lstm import LSTM
from isoflop.train.model import Transformer
from isoflop.train.parametrisation import STANDARD, Parametrisation
from isoflop.train.trainable import refuse_untrainable
from isoflop.train.universal import UniversalTransformer

ARCHITECTURES: Mapping[str, type[Transformer] | type[LSTM]] = {
    "decoder": Transformer,
    "universal": UniversalTransformer,
    "lstm": LSTM,
}
"""The model of each architecture that is trained."""


def build_model(
    shape: Shape,
    generator: torch.Generator | None = None,
    *,
    parametrisation: Parametrisation = STANDARD,
) -> LanguageModel:
    """The model of ``shape``, its first values drawn from ``generator``. Raises as :class:`LanguageModel` does."""
    refuse_untrainable(shape)
    model = ARCHITECTURES[shape.architecture]
    return model(shape, generator, parametrisation=parametrisation)
