"""Sources whose entropy is known: samples have it, learners tend to it, and fits of their losses find it again."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import isoflop as iso
from isoflop.data import load_corpus, nested_subset, synthetic, window_loss
from isoflop.data.markov import ZipfMarkov
from isoflop.data.santa_fe import SantaFe
from isoflop.errors import CorpusError

NAMES = ("synthetic:zipf-markov", "synthetic:santa-fe")
SMALL = (
    "synthetic:zipf-markov?n_vocab=3&order=2&tokens=4e5&seed=5",
    "synthetic:santa-fe?base=3&digits=2&n_facts=3&tokens=4e5",
)


def counted_entropies(tokens: np.ndarray, n_vocab: int, n: int) -> list[float]:
    """Entropies of a token after 0, 1, ... n tokens, from how often each word of n + 1 tokens stands in the text."""
    after = []
    for known in range(n + 1):
        windows = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.int64), known + 1)
        words = windows @ n_vocab ** np.arange(known, -1, -1)
        joint = np.bincount(words, minlength=n_vocab ** (known + 1)) / len(words)
        context = joint.reshape(-1, n_vocab).sum(1)
        after.append(
            -(joint[joint > 0] * np.log(joint[joint > 0])).sum()
            + (context[context > 0] * np.log(context[context > 0])).sum()
        )
    return after


@pytest.mark.parametrize("name", SMALL)
def test_entropies_are_those_of_the_text_itself(name: str) -> None:
    source = synthetic(name)
    counted = counted_entropies(source.sample(), source.n_vocab, 3)
    np.testing.assert_allclose(source.entropies(3), counted, atol=4e-3)


@pytest.mark.parametrize("name", NAMES)
def test_more_context_never_hurts_and_tends_to_the_entropy_rate(name: str) -> None:
    source = synthetic(name)
    after = source.entropies(10)
    assert (np.diff(after) <= 1e-12).all()
    assert after[0] - after[-1] > 0.2
    assert after[-1] == pytest.approx(source.entropy_rate, rel=1e-12)
    assert source.entropy_rate < window_loss(source, 64) < source.entropy_rate + 0.01
    assert window_loss(source, 1) == after[1]


# Chains whose shares do not come nearer to the stationary ones in each step, and those that begin far from them.
@pytest.mark.parametrize(("n_vocab", "order", "alpha", "seed"), [(4, 3, 1.5, 2), (2, 3, 1.5, 0), (16, 2, 3.0, 1)])
def test_the_entropy_rate_of_a_chain_is_that_of_its_rows(n_vocab: int, order: int, alpha: float, seed: int) -> None:
    source = ZipfMarkov(n_vocab, order, alpha, seed=seed)
    p, share = source.probabilities, source.stationary
    assert source.entropy_rate == pytest.approx(-(share[:, None] * p * np.log(p)).sum(), rel=1e-12)
    moved = np.zeros_like(share)
    for context, token in product(range(len(share)), range(n_vocab)):
        moved[(context * n_vocab + token) % len(share)] += share[context] * p[context, token]
    np.testing.assert_allclose(moved, share, rtol=1e-10)


def test_the_ideal_learner_pays_for_what_it_has_no_room_for_or_has_not_met() -> None:
    source = SantaFe(base=4, digits=2, n_facts=8, alpha=0.5)
    p, gain = source.frequencies, np.log(8) / 3
    met = 1 - (1 - p) ** (30 / 3)
    known = np.arange(16) < 5
    expected = source.entropy_rate + gain * (p * (1 - met * known)).sum()
    assert source.loss(5, 30) == pytest.approx(expected, rel=1e-12)
    assert source.loss(np.inf, np.inf) == source.entropy_rate
    assert source.loss(0, np.inf) == pytest.approx(source.entropy_rate + gain)


@pytest.mark.parametrize("alpha", [0.7, 1.0])
@pytest.mark.parametrize("name", ["N", "D"])
def test_fits_of_the_ideal_learner_find_its_floor_and_its_exponents(alpha: float, name: str) -> None:
    source = SantaFe(alpha=alpha, digits=5)
    if name == "N":
        law, exponent, truth, noise = "power-n-floor", "alpha", source.alpha, 2e-4
        at = np.geomspace(256, 65536, 24).round()
        losses = source.loss(at, np.inf)
    else:
        law, exponent, truth, noise = "power-d-floor", "beta", source.beta, 1e-3
        at = np.geomspace(1e4, 3e6, 24)
        losses = source.loss(np.inf, at)
    found, held = [], 0
    for seed in range(20):
        drawn = 1 + noise * np.random.default_rng(seed).standard_normal(24)
        fit = iso.fit(law, {name: at, "L": losses * drawn})
        low, high = fit.interval("E")
        held += low <= source.entropy_rate <= high
        found.append(fit.params[exponent])
    assert held >= 17, "of 20 intervals of 95 %, 17 or more with probability 0.984"
    assert np.mean(found) == pytest.approx(truth, rel=0.03)


def test_a_learner_of_the_text_meets_facts_as_fast_as_is_computed() -> None:
    name = "synthetic:santa-fe?digits=3&tokens=2e6&seed=4"
    source, corpus = SantaFe(digits=3), load_corpus(name)
    assert corpus.preparation.entropy_rate == source.entropy_rate
    tokens = np.geomspace(4e3, 1e6, 16).astype(int)
    losses = []
    for seed, count in enumerate(tokens.tolist()):
        met = np.zeros(16**3, bool)
        met[subjects(nested_subset(corpus.train, count, seed=seed))] = True
        missed = 1 - met[subjects(corpus.held_out.tokens)].mean()
        losses.append(source.entropy_rate + missed * np.log(source.n_facts) / source.sentence)
    np.testing.assert_allclose(losses, source.loss(np.inf, tokens), rtol=0.03)
    fit = iso.fit("power-d-floor", {"D": tokens, "L": np.array(losses)})
    low, high = fit.interval("E")
    assert low <= source.entropy_rate <= high
    assert fit.params["beta"] == pytest.approx(source.beta, abs=0.1)


def subjects(tokens: np.ndarray) -> np.ndarray:
    """The subjects of the whole sentences in a text of three digits of sixteen."""
    begins = np.flatnonzero(tokens[:-3] < 16)
    return sum(
        ((tokens[begins + place].astype(int) - 16 * place) * 16 ** (2 - place) for place in range(3)), np.int64(0)
    )


def test_a_counting_learner_of_a_chain_tends_to_its_entropy_rate_as_one_over_D() -> None:
    sizes = np.geomspace(2e5, 2e6, 10).astype(int)
    source = ZipfMarkov(tokens=int(sizes.sum()))
    losses = []
    for part in np.split(source.sample().astype(np.int64), sizes.cumsum()[:-1]):  # each size reads a text of its own
        words = (part[:-2] * 16 + part[1:-1]) * 16 + part[2:]
        counts = np.bincount(words, minlength=16**3).reshape(-1, 16) + 0.5  # Krichevsky and Trofimov 1981
        guess = counts / counts.sum(1, keepdims=True)
        losses.append(-(source.stationary[:, None] * source.probabilities * np.log(guess)).sum())
    fit = iso.fit("power-d-floor", {"D": sizes, "L": np.array(losses)})
    low, high = fit.interval("E")
    assert low <= source.entropy_rate <= high
    assert high - low < 1e-3 * source.entropy_rate
    assert fit.params["beta"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_the_seed_and_nothing_else(name: str) -> None:
    one, same, other = (synthetic(f"{name}?tokens=1000&seed={seed}").sample() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(one) == 1000
    assert one.max() < synthetic(name).n_vocab


def test_samples_are_the_same_on_every_machine() -> None:
    assert synthetic("synthetic:zipf-markov").sample()[:10].tolist() == [7, 12, 14, 0, 4, 12, 0, 7, 8, 0]
    assert synthetic("synthetic:santa-fe").sample()[:10].tolist() == [0, 16, 32, 52, 68, 0, 16, 32, 48, 77]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic:santafe", r"unknown synthetic source 'santafe'\n.*did you mean 'santa-fe'"),
        ("synthetic:santa-fe?alfa=1", r"unknown option 'alfa' in corpus .*\n.*did you mean 'alpha'"),
        ("synthetic:santa-fe?base=1.5", r"base = '1.5' in corpus .* must be a whole number"),
        ("synthetic:santa-fe?alpha=much", r"alpha = 'much' in corpus .* must be a number"),
        ("synthetic:santa-fe?alpha=nan", r"alpha = 'nan' in corpus .* must be a number"),
        ("synthetic:santa-fe?alpha=-1", r"is no such source\n.*alpha above 0"),
        ("synthetic:santa-fe?digits=9", r"more than 2\*\*24 subjects"),
        ("synthetic:zipf-markov?order=0", r"is no such source\n.*order 1"),
        ("synthetic:zipf-markov?n_vocab=256&order=3", r"table of more than 2\*\*24 numbers"),
    ],
)
def test_sources_that_there_are_not_are_refused(name: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_corpus(name)
