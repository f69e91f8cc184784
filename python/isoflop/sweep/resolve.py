"""From a study and its corpus to the list of runs: every spec resolved to the last number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from isoflop.data import Corpus, load_corpus, unique_tokens
from isoflop.data.stream import Stream
from isoflop.errors import CorpusError, SpecError
from isoflop.shape import Shape
from isoflop.sweep.study import Study
from isoflop.train.rules import value_of
from isoflop.train.spec import TrainSpec, flops_per_token
from isoflop.train.trainable import default_engine


def load_corpora(study: Study, cache: Path) -> tuple[Corpus, list[Corpus]]:
    """The corpus of ``study`` and those of its ``transfer``, made in ``cache`` in the same way, into the same tokens.

    Raises as :func:`isoflop.data.load_corpus` does.
    """
    corpus = load_corpus(study.corpus, cache)
    made = cache / corpus.fingerprint / "tokenizer.json"
    tokenizer = str(made) if study.corpus.tokenizer in ("char", "bpe") else study.corpus.tokenizer
    recipe = replace(study.corpus, tokenizer=tokenizer, n_vocab=0 if made.exists() else study.corpus.n_vocab)
    return corpus, [load_corpus(replace(recipe, source=source), cache) for source in study.train.transfer]


def resolve(study: Study, corpus: Corpus, transfer: Sequence[Corpus] = ()) -> list[TrainSpec]:
    """The runs of ``study`` on ``corpus``, each once: shapes x (tokens and budgets) x batches x seeds.

    D is rounded to whole optimizer steps, one at least. A budget C gives each shape D = C / (6 N). ``transfer`` are the
    corpora that the study's ``transfer`` names, in that order.

    Raises:
        NotEnoughTokens: a run needs more tokens than the corpus has, and repeats are not allowed.
        CorpusError: the corpus does not fill one context, or it has tokens beyond a shape's vocabulary.
        SpecError: a setting out of its domain.
    """
    source = study.corpus.source
    n_ctx = max(shape.n_ctx for shape in study.shapes)
    n_vocab = min(shape.n_vocab for shape in study.shapes)
    _refuse_short(source, "train on", corpus.train, n_ctx)
    for name, judged in zip((source, *study.train.transfer), (corpus, *transfer), strict=True):
        _refuse_short(name, "hold out", judged.held_out, n_ctx)
        if n_vocab < judged.n_vocab:
            raise CorpusError(
                f"n_vocab = {n_vocab} is less than the {judged.n_vocab} tokens of corpus {name!r}",
                hint=f"set n_vocab = {judged.n_vocab} or more",
            )
    _refuse_heads_without_base(study)
    specs: dict[TrainSpec, None] = {}
    for shape in study.shapes:
        wanted = [*study.tokens, *(budget / flops_per_token(shape) for budget in study.budgets)]
        for tokens, multiple, seed in product(wanted, study.train.batch_scan, study.train.seeds):
            spec = _spec(study, corpus, shape, tokens, multiple, seed)
            specs[replace(spec, transfer=tuple(other.fingerprint for other in transfer))] = None
    return list(specs)


_AS_SAID = (
    *("schedule", "optimizer", "parametrisation", "base_width", "base_head"),
    *("dropout", "z_loss", "balance_loss", "averaging", "averaging_share"),
    *("accumulate", "precision", "measurements", "exact_match"),
)
"""Settings of a study that each of its runs has as they stand there."""


def _refuse_short(name: str, purpose: str, stream: Stream, n_ctx: int) -> None:
    if len(stream.tokens) <= n_ctx:
        raise CorpusError(
            f"corpus {name!r} has {len(stream.tokens):,} tokens to {purpose}, "
            f"less than one context of {n_ctx} and its next token",
            hint="give more text or a shorter n_ctx",
        )


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


def _spec(study: Study, corpus: Corpus, shape: Shape, wanted: float, multiple: float, seed: int) -> TrainSpec:
    settings = study.train
    batch = max(1, round(multiple * _ruled(study, "batch_tokens", shape, wanted) / shape.n_ctx)) * shape.n_ctx
    n_steps = max(1, round(wanted / batch))
    tokens = n_steps * batch
    peak = _ruled(study, "learning_rate", shape, wanted)
    said = {name: getattr(settings, name) for name in _AS_SAID}
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
        **said,
        engine=settings.engine or default_engine(shape, said),
    )


def _ruled(study: Study, setting: str, shape: Shape, tokens: float) -> float:
    given = getattr(study.train, setting)
    return value_of(setting, given, shape=shape, tokens=tokens, loss=study.train.expected_loss)
