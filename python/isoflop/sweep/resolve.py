"""From a study and its corpus to the list of runs: every spec resolved to the last number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

from isoflop.data import Corpus, load_corpus, unique_tokens
from isoflop.data.stream import Stream
from isoflop.errors import CorpusError, SpecError
from isoflop.runs import RunStore, run_id
from isoflop.runs.studies import GroupRuns, write_study
from isoflop.shape import Shape
from isoflop.sweep.settings import TrainSettings
from isoflop.sweep.study import Group, Study
from isoflop.train.rules import value_of
from isoflop.train.schedules import FORMS
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
    return corpus, [load_corpus(replace(recipe, source=source), cache) for source in study.transfer]


def resolve(study: Study, corpus: Corpus, transfer: Sequence[Corpus] = ()) -> list[TrainSpec]:
    """The runs of ``study`` on ``corpus``, each once: those of :func:`resolve_groups`, one group after another."""
    return each_once(resolve_groups(study, corpus, transfer))


def each_once(groups: Mapping[str, Sequence[TrainSpec]]) -> list[TrainSpec]:
    """The runs of all groups, each once."""
    return list(dict.fromkeys(chain.from_iterable(groups.values())))


def keep_study(store: RunStore, study: Study, groups: Mapping[str, Sequence[TrainSpec]]) -> None:
    """Say in ``store`` which runs are of which group of ``study``, and what they are to show."""
    purposes = {group.name: group.purpose for group in study.groups}
    asked = [
        GroupRuns(name=name, purpose=purposes[name], runs=tuple(run_id(spec.to_dict()) for spec in specs))
        for name, specs in groups.items()
    ]
    write_study(store, study.name, asked)


def resolve_groups(study: Study, corpus: Corpus, transfer: Sequence[Corpus] = ()) -> dict[str, list[TrainSpec]]:
    """By the name of each group of ``study``, its runs, each once: shapes x (tokens and budgets) x batches x seeds.

    D is rounded to whole optimizer steps, one at least. A budget C gives each shape D = C / (6 N). ``transfer`` are the
    corpora that ``study.transfer`` names, in that order.

    Raises:
        NotEnoughTokens: a run needs more tokens than the corpus has, and repeats are not allowed.
        CorpusError: the corpus does not fill one context, or it has tokens beyond a shape's vocabulary.
        SpecError: a setting out of its domain.
    """
    named = dict(zip(study.transfer, transfer, strict=True))
    return {group.name: _runs(study, group, corpus, named) for group in study.groups}


def _runs(study: Study, group: Group, corpus: Corpus, transfer: Mapping[str, Corpus]) -> list[TrainSpec]:
    source = study.corpus.source
    others = {name: transfer[name] for name in group.train.transfer}
    n_ctx = max(shape.n_ctx for shape in group.shapes)
    n_vocab = min(shape.n_vocab for shape in group.shapes)
    _refuse_short(source, "train on", corpus.train, n_ctx)
    for name, judged in {source: corpus, **others}.items():
        _refuse_short(name, "hold out", judged.held_out, n_ctx)
        if n_vocab < judged.n_vocab:
            raise CorpusError(
                f"n_vocab = {n_vocab} is less than the {judged.n_vocab} tokens of corpus {name!r}",
                hint=f"set n_vocab = {judged.n_vocab} or more",
            )
    _refuse_heads_without_base(group)
    _refuse_trunk_that_falls(group)
    specs: dict[TrainSpec, None] = {}
    for shape in group.shapes:
        wanted = [*group.tokens, *(budget / flops_per_token(shape) for budget in group.budgets)]
        alike = (min(wanted), max(wanted)) if group.train.one_trunk else None
        for tokens, multiple, seed in product(wanted, group.train.batch_scan, group.train.seeds):
            spec = _spec(group.train, source, corpus, shape, tokens, multiple, seed, alike)
            specs[replace(spec, transfer=tuple(other.fingerprint for other in others.values()))] = None
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


def _refuse_heads_without_base(group: Group) -> None:
    """Raise SpecError where heads of several widths are to be scaled as of a base that is not said."""
    settings = group.train
    widths = sorted({shape.d_head for shape in group.shapes if shape.architecture != "lstm"})
    if settings.parametrisation != "standard" and settings.base_head is None and len(widths) > 1:
        raise SpecError(
            f"parametrisation {settings.parametrisation!r} of heads of {', '.join(map(str, widths))} channels needs "
            "base_head",
            hint="say the d_head of the base width in [train]",
        )


def _refuse_trunk_that_falls(group: Group) -> None:
    settings = group.train
    falls = FORMS[settings.schedule].decay if settings.decay_share is None else settings.decay_share
    if settings.one_trunk and falls == 1:
        raise SpecError(
            f"one_trunk: runs of schedule {settings.schedule!r} share no steps, their rates fall from the beginning on",
            hint='schedule = "wsd"',
        )


def _spec(
    settings: TrainSettings,
    source: str,
    corpus: Corpus,
    shape: Shape,
    wanted: float,
    multiple: float,
    seed: int,
    alike: tuple[float, float] | None,
) -> TrainSpec:
    """``alike`` are the least and the largest D of runs on one trunk: rules follow the trunk, the warm-up the least."""
    least, ruling = (wanted, wanted) if alike is None else alike
    batch = max(1, round(multiple * _ruled(settings, "batch_tokens", shape, ruling) / shape.n_ctx)) * shape.n_ctx
    n_steps, least_steps, ruling_steps = (max(1, round(d / batch)) for d in (wanted, least, ruling))
    tokens = n_steps * batch
    peak = _ruled(settings, "learning_rate", shape, ruling, batch)
    warmup = round(least_steps * settings.warmup_share) if settings.warmup_steps is None else settings.warmup_steps
    said = {name: getattr(settings, name) for name in _AS_SAID}
    return TrainSpec(
        shape=shape,
        corpus=corpus.fingerprint,
        tokens=tokens,
        unique_tokens=unique_tokens(
            corpus.train,
            ruling_steps * batch,
            n_ctx=shape.n_ctx,
            at_most=settings.unique_tokens,
            allow_repeats=settings.allow_repeats,
            source=source,
        ),
        batch_tokens=batch,
        learning_rate=peak,
        final_learning_rate=peak * settings.final_learning_rate_ratio,
        warmup_steps=warmup,
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


def _ruled(settings: TrainSettings, setting: str, shape: Shape, tokens: float, batch: float | None = None) -> float:
    given = getattr(settings, setting)
    return value_of(setting, given, shape=shape, tokens=tokens, loss=settings.expected_loss, batch=batch)
