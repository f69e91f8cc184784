"""From a study and its corpus to the list of runs: every spec resolved to the last number."""

from __future__ import annotations

from isoflop.data import Corpus, unique_tokens
from isoflop.errors import CorpusError, SpecError
from isoflop.shape import Shape
from isoflop.sweep.study import Study
from isoflop.train.rules import value_of
from isoflop.train.spec import TrainSpec, flops_per_token


def resolve(study: Study, corpus: Corpus) -> list[TrainSpec]:
    """The runs of ``study`` on ``corpus``, each once: shapes x (tokens and budgets) x seeds.

    D is rounded to whole optimizer steps, one at least. A budget C gives each shape D = C / (6 N).

    Raises:
        NotEnoughTokens: a run needs more tokens than the corpus has, and repeats are not allowed.
        CorpusError: the corpus does not fill one context, or it has tokens beyond a shape's vocabulary.
        SpecError: a setting out of its domain.
    """
    source = study.corpus.source
    n_ctx = max(shape.n_ctx for shape in study.shapes)
    for name, stream in (("train on", corpus.train), ("hold out", corpus.held_out)):
        if len(stream.tokens) <= n_ctx:
            raise CorpusError(
                f"corpus {source!r} has {len(stream.tokens):,} tokens to {name}, "
                f"less than one context of {n_ctx} and its next token",
                hint="give more text or a shorter n_ctx",
            )
    n_vocab = min(shape.n_vocab for shape in study.shapes)
    if n_vocab < corpus.n_vocab:
        raise CorpusError(
            f"n_vocab = {n_vocab} is less than the {corpus.n_vocab} tokens of corpus {source!r}",
            hint=f"set n_vocab = {corpus.n_vocab} or more",
        )
    _refuse_heads_without_base(study)
    specs: dict[TrainSpec, None] = {}
    for shape in study.shapes:
        wanted = [*study.tokens, *(budget / flops_per_token(shape) for budget in study.budgets)]
        for tokens in wanted:
            for seed in study.train.seeds:
                specs[_spec(study, corpus, shape, tokens, seed)] = None
    return list(specs)


_AS_SAID = (
    *("schedule", "optimizer", "parametrisation", "base_width", "base_head"),
    *("dropout", "z_loss", "balance_loss", "averaging", "averaging_share"),
)
"""Settings of a study that each of its runs has as they stand there."""


def _refuse_heads_without_base(study: Study) -> None:
    """Raise SpecError where heads of several widths are to be scaled as of a base that is not said."""
    settings = study.train
    widths = sorted({shape.d_head for shape in study.shapes if shape.architecture != "lstm"})
    if settings.parametrisation != "standard" and settings.base_head is None and len(widths) > 1:
        raise SpecError(
            f"parametrisation {settings.parametrisation!r} of heads of {', '.join(map(str, widths))} channels needs "
            "base_head",
            hint="say the d_head of the base width in [train]",
        )


def _spec(study: Study, corpus: Corpus, shape: Shape, wanted: float, seed: int) -> TrainSpec:
    settings = study.train
    batch = max(1, round(_ruled(study, "batch_tokens", shape, wanted) / shape.n_ctx)) * shape.n_ctx
    n_steps = max(1, round(wanted / batch))
    tokens = n_steps * batch
    peak = _ruled(study, "learning_rate", shape, wanted)
    return TrainSpec(
        shape=shape,
        corpus=corpus.fingerprint,
        tokens=tokens,
        unique_tokens=unique_tokens(
            corpus.train,
            tokens,
            n_ctx=shape.n_ctx,
            at_most=settings.unique_tokens,
            allow_repeats=settings.allow_repeats,
            source=study.corpus.source,
        ),
        batch_tokens=batch,
        learning_rate=peak,
        final_learning_rate=peak * settings.final_learning_rate_ratio,
        warmup_steps=round(n_steps * settings.warmup_share) if settings.warmup_steps is None else settings.warmup_steps,
        decay_steps=None if settings.decay_share is None else round(n_steps * settings.decay_share),
        beta1=settings.beta1,
        beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        grad_clip=settings.grad_clip,
        seed=seed,
        data_seed=settings.data_seed,
        evaluations=settings.evaluations,
        eval_tokens=settings.eval_tokens,
        patience=settings.patience,
        **{name: getattr(settings, name) for name in _AS_SAID},
    )


def _ruled(study: Study, setting: str, shape: Shape, tokens: float) -> float:
    given = getattr(study.train, setting)
    return value_of(setting, given, shape=shape, tokens=tokens, loss=study.train.expected_loss)
