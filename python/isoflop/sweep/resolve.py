"""From a study and its corpus to the list of runs: every spec resolved to the last number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from isoflop.data import Corpus, load_corpus, unique_tokens
from isoflop.data.stream import Stream
from isoflop.errors import CorpusError, SpecError
from isoflop.runs import RunStore, run_id
from isoflop.runs.studies import GroupRuns, write_study
from isoflop.shape import Shape
from isoflop.sweep.asking import Asked
from isoflop.sweep.settings import TrainSettings
from isoflop.sweep.study import Group, Study
from isoflop.train.rules import RULES, follows_tokens, value_of
from isoflop.train.schedules import FORMS
from isoflop.train.spec import TrainSpec, micro_batches
from isoflop.train.trainable import default_engine


def load_corpora(study: Study, cache: Path) -> tuple[Corpus, list[Corpus]]:
    """The corpus of ``study`` and those of its ``transfer``, made in ``cache`` in the same way, into the same tokens.

    Raises as :func:`isoflop.data.load_corpus` does, and CorpusError for transfer to text from tokens made elsewhere.
    """
    corpus = load_corpus(study.corpus, cache)
    made = cache / corpus.fingerprint / "tokenizer.json"
    tokenizer = str(made) if study.corpus.tokenizer in ("char", "bpe") else study.corpus.tokenizer
    recipe = replace(study.corpus, tokenizer=tokenizer, n_vocab=0 if made.exists() else study.corpus.n_vocab)
    others = [load_corpus(replace(recipe, source=source), cache) for source in study.transfer]
    for other in others:
        if corpus.tokenizer is None and other.tokenizer is not None:
            raise CorpusError(
                f"transfer to {other.source!r}, which is text: corpus {corpus.source!r} holds tokens, of a tokenizer "
                "that is not known here",
                hint="name shards of the same tokens, or train on text with its tokenizer.json",
            )
    return corpus, others


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
    """By the name of each group of ``study``, its runs, each once: see :mod:`isoflop.sweep.asking`.

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
    by_settings: dict[TrainSettings, list[Asked]] = {}
    for asked in group.asked:
        by_settings.setdefault(asked.train, []).append(asked)
    shapes = dict.fromkeys(asked.shape for asked in group.asked)
    n_ctx = max(shape.n_ctx for shape in shapes)
    n_vocab = min(shape.n_vocab for shape in shapes)
    _refuse_short(source, "train on", corpus.train, n_ctx)
    judged = {name: transfer[name] for settings in by_settings for name in settings.transfer}
    for name, other in {source: corpus, **judged}.items():
        _refuse_short(name, "hold out", other.held_out, n_ctx)
        if n_vocab < other.n_vocab:
            raise CorpusError(
                f"n_vocab = {n_vocab} is less than the {other.n_vocab} tokens of corpus {name!r}",
                hint=f"set n_vocab = {other.n_vocab} or more",
            )
    for settings, own in by_settings.items():
        _refuse_heads_without_base(settings, [asked.shape for asked in own])
        if settings.one_trunk or study.extendable:
            _refuse_rates_that_fall(settings, "one_trunk" if settings.one_trunk else "extendable")
        if study.extendable:
            _refuse_what_follows_tokens(settings)
    lengths: dict[tuple[TrainSettings, Shape], list[float]] = {}
    for asked in group.asked:
        lengths.setdefault((asked.train, asked.shape), []).append(asked.tokens)
    specs: dict[TrainSpec, None] = {}
    for asked in group.asked:
        on_trunk = lengths[asked.train, asked.shape] if asked.train.one_trunk else [asked.tokens]
        drawn_from = asked.train.unique_tokens if study.extendable else 0
        spec = _spec(asked, min(on_trunk), max(on_trunk), drawn_from, source, corpus)
        fingerprints = tuple(judged[name].fingerprint for name in asked.train.transfer)
        specs[replace(spec, transfer=fingerprints)] = None
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


def _refuse_heads_without_base(settings: TrainSettings, shapes: Sequence[Shape]) -> None:
    """Raise SpecError where heads of several widths are to be scaled as of a base that is not said."""
    widths = sorted({shape.d_head for shape in shapes if shape.architecture != "lstm"})
    if settings.parametrisation != "standard" and settings.base_head is None and len(widths) > 1:
        raise SpecError(
            f"parametrisation {settings.parametrisation!r} of heads of {', '.join(map(str, widths))} channels needs "
            "base_head",
            hint="say the d_head of the base width in [train]",
        )


def _refuse_rates_that_fall(settings: TrainSettings, name: str) -> None:
    """Raise SpecError where a longer run shares no steps, which ``name`` asks for."""
    falls = FORMS[settings.schedule].decay if settings.decay_share is None else settings.decay_share
    if falls == 1:
        raise SpecError(
            f"{name}: runs of schedule {settings.schedule!r} share no steps, their rates fall from the beginning on",
            hint='schedule = "wsd"',
        )


def _refuse_what_follows_tokens(settings: TrainSettings) -> None:
    """Raise SpecError where a setting of the first steps of runs would follow a new D."""
    follow = {
        **{name: follows_tokens(name, getattr(settings, name)) for name in RULES},
        "warmup_steps": settings.warmup_steps is None and settings.warmup_share > 0,
        "unique_tokens": not settings.unique_tokens,
        "averaging": settings.averaging != "none",
    }
    if named := [name for name, does in follow.items() if does]:
        raise SpecError(
            f"extendable: {', '.join(named)} would follow the tokens of a run, and be others in a longer one",
            hint="batch_tokens = 512, warmup_steps = 100, unique_tokens = 1_000_000",
        )


def _spec(asked: Asked, least: float, ruling: float, drawn_from: int, source: str, corpus: Corpus) -> TrainSpec:
    """The run, resolved.

    ``least`` and ``ruling`` are the shortest and the longest D of its trunk: the warm-up follows the one, rules the
    other; ``drawn_from`` are the least tokens that it is drawn from, however few it takes.
    """
    settings, shape = asked.train, asked.shape
    batch = _whole_batch(settings, shape, asked.batch * _ruled(settings, "batch_tokens", shape, ruling))
    n_steps, least_steps, ruling_steps = (max(1, round(d / batch)) for d in (asked.tokens, least, ruling))
    tokens = n_steps * batch
    peak = asked.rate * _ruled(settings, "learning_rate", shape, ruling, batch)
    warmup = round(least_steps * settings.warmup_share) if settings.warmup_steps is None else settings.warmup_steps
    said = {name: getattr(settings, name) for name in _AS_SAID}
    return TrainSpec(
        shape=shape,
        corpus=corpus.fingerprint,
        tokens=tokens,
        unique_tokens=unique_tokens(
            corpus.train,
            max(ruling_steps * batch, drawn_from),
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
        seed=asked.seed,
        data_seed=settings.data_seed,
        evaluations=settings.evaluations,
        eval_tokens=settings.eval_tokens,
        patience=settings.patience,
        early_stop=settings.early_stop,
        **said,
        engine=settings.engine or default_engine(shape),
    )


def _whole_batch(settings: TrainSettings, shape: Shape, tokens: float) -> int:
    """The batch nearest to ``tokens`` in whole contexts; of a rule, in whole contexts of each of its parts.

    A number that is said is made no other to have parts, nor a batch of fewer contexts than parts: they are refused.
    """
    contexts, said = tokens / shape.n_ctx, isinstance(settings.batch_tokens, (int, float))
    parts = micro_batches(settings.accumulate, settings.measurements)
    each = 1 if said or contexts < parts else parts
    return max(1, round(contexts / each)) * each * shape.n_ctx


def _ruled(settings: TrainSettings, setting: str, shape: Shape, tokens: float, batch: float | None = None) -> float:
    given = getattr(settings, setting)
    return value_of(setting, given, shape=shape, tokens=tokens, loss=settings.expected_loss, batch=batch)
