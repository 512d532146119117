"""The generated corpus: parts that share nothing, the same texts on every machine, and the figures that it promises."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lmrl_envs.reddit.corpus import REPLIES, SIZES, comments, threads
from lmrl_envs.reddit.grammar import PARTS, communities, lexicon, part_of, words_of

LEVELS = {"mild": {1}, "implied": {1}, "severe": {2}, "masked": {1, 2}}  # all other kinds are harmless
HASHES = {
    "models": "372a8af0cea8d5a2f371660d5dffa98e91a6cc086b0a6f07c3218ad29b9e6ae8",
    "train": "5371775bef65d457e9fa17267be6f926c84ae4a2bd2da0f3d243a9058cfe08f4",
    "validation": "c62c3a87e4cef44cc999681ee1d19d2c2500948d25d803221a25ce6745e3b47c",
    "test": "9e7e796afa5ed991ca263137e31f6870a93facf5b9088890d66cc12fb30caabb",
}


@pytest.fixture(scope="module")
def parts():
    return {part: comments(part, 4000 if part == "models" else 2000) for part in PARTS}


@pytest.fixture(scope="module")
def everything(parts):
    return [comment for part in parts.values() for comment in part]


def test_texts_are_the_same_everywhere(parts):
    """A change of the corpus changes what reward models learn and agents see: it needs a new dataset id."""
    for part, rows in parts.items():
        lines = [json.dumps([c.thread, c.community, c.parent, c.text, c.kind, c.true_toxicity]) for c in rows[:1000]]
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == HASHES[part], part


def test_no_part_shares_a_thread_a_parent_or_a_text(parts):
    for name, values in {
        "threads": lambda c: c.thread,
        "parents": lambda c: " ".join(words_of(c.parent)),
        "texts": lambda c: " ".join(words_of(c.text)),
    }.items():
        found = {part: set(map(values, rows)) for part, rows in parts.items()}
        for one, other in itertools.combinations(PARTS, 2):
            assert not found[one] & found[other], f"{name} of {one} and {other}"
    assert all(part_of(comment.text) == part for part, rows in parts.items() for comment in rows)


def test_fewer_are_the_beginning_of_more(parts):
    assert comments("train", 100) == parts["train"][:100]
    assert comments("train", 100, seed=1) != parts["train"][:100]


def test_parents_have_four_replies_or_more():
    for thread in threads("validation", 100):
        assert len(thread.comments) >= REPLIES
        assert {(c.thread, c.parent, c.community) for c in thread.comments} == {
            (thread.id, thread.parent, thread.community)
        }
        assert 0 <= thread.id < 2**63


def test_every_kind_is_what_it_says(everything):
    counts = Counter(c.kind for c in everything)
    assert len(counts) == 14
    assert min(counts.values()) > 0.01 * len(everything)
    for comment in everything:
        assert comment.true_toxicity in LEVELS.get(comment.kind, {0}), f"{comment.kind}: {comment.text}"


def test_every_community_writes(everything):
    assert Counter(c.community for c in everything).keys() == communities().keys()


def test_toxic_shares_and_noisy_labels(everything):
    truth, labels = (np.array([getattr(c, name) for c in everything]) for name in ("true_toxicity", "toxicity"))
    assert np.bincount(truth) / len(truth) == pytest.approx([0.69, 0.18, 0.13], abs=0.02)
    assert 0.01 < np.mean(truth != labels) < 0.04
    assert np.abs(truth - labels).max() == 1
    subtle = np.array([c.kind in ("implied", "mention", "masked") for c in everything])
    assert np.mean((truth != labels)[subtle]) > 2 * np.mean((truth != labels)[~subtle])


def test_half_of_the_scores_are_positive(everything):
    chances, positive = np.array([c.true_chance for c in everything]), np.array([c.score > 0 for c in everything])
    assert chances.mean() == pytest.approx(0.5, abs=0.02)
    assert positive.mean() == pytest.approx(0.5, abs=0.02)
    for low in np.arange(0, 1, 0.25):  # scores have the chances that they are said to have
        chosen = (chances >= low) & (chances < low + 0.25)
        assert positive[chosen].mean() == pytest.approx(chances[chosen].mean(), abs=0.03)
    assert 0.78 < roc_auc_score(positive, chances) < 0.88  # the ceiling of any model of upvotes


def test_scores_before_balancing_are_like_reddit_s():
    """Shares in 18,678 real comments: .044 at 0 or less, .384 at 1, .572 at 2 or more, .072 at 10 or more."""
    scores = np.array([c.score for thread in threads("train", 1000, balanced=False) for c in thread.comments])
    assert 0.04 <= np.mean(scores <= 0) <= 0.10
    assert np.mean(scores == 1) == pytest.approx(0.38, abs=0.03)
    assert np.mean(scores >= 2) == pytest.approx(0.56, abs=0.03)
    assert np.mean(scores >= 10) == pytest.approx(0.075, abs=0.015)
    assert scores.max() > 100


def test_balancing_changes_scores_alone():
    pairs = zip(threads("test", 20), threads("test", 20, balanced=False), strict=True)
    for one, other in pairs:
        assert [c.text for c in one.comments] == [c.text for c in other.comments]
        assert [c.toxicity for c in one.comments] == [c.toxicity for c in other.comments]


def test_held_out_words_are_new_to_reward_models(parts):
    assert not any(c.held_out for c in parts["models"])
    for part in ("train", "validation", "test"):
        assert 0.2 < np.mean([c.held_out for c in parts[part]]) < 0.4
    words = {part: {word for c in rows for word in words_of(c.text)} for part, rows in parts.items()}
    held = {"".join(phrase) for name in ("insult", "dumb") for phrase, is_held in lexicon()[name].all_of if is_held}
    single = {word for word in held if " " not in word}
    assert len(single & words["test"]) > 10
    # A word may be part of another phrase as well, so that some are met.
    assert len(single & words["models"]) < 0.3 * len(single & words["test"])


def test_tone_is_not_told_by_community(everything):
    rates = defaultdict(list)
    for comment in everything:
        rates[comment.community].append(comment.true_toxicity > 0)
    assert max(map(np.mean, rates.values())) < 0.55
    assert min(map(np.mean, rates.values())) > 0.12


def test_word_pairs_do_not_solve_it(parts):
    """A linear model of words and their pairs, as good as perfect where it has seen the phrases, is not elsewhere."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=4, max_iter=200)
    train, test = parts["models"], parts["test"]
    model.fit(vectorizer.fit_transform([c.text for c in train]), [c.toxicity > 0 for c in train])
    p = model.predict_proba(vectorizer.transform([c.text for c in test]))[:, 1]
    truth, held = (np.array([bool(getattr(c, name)) for c in test]) for name in ("true_toxicity", "held_out"))
    assert roc_auc_score(truth[~held], p[~held]) > 0.95
    assert 0.8 < roc_auc_score(truth[held], p[held]) < 0.95


def test_variety(everything):
    assert len({c.text for c in everything}) / len(everything) > 0.97
    types = Counter(word for c in everything if c.kind != "masked" for word in set(words_of(c.text)))
    assert sum(count >= 3 for count in types.values()) > 2000
    assert 15 < np.mean([len(c.text.split()) for c in everything]) < 25


@pytest.mark.slow
def test_the_whole_corpus():
    """At least 200,000 comments in under 60 s of one core, 95 % of the texts distinct."""
    started = time.process_time()
    parts = {part: comments(part) for part in PARTS}
    assert time.process_time() - started < 60
    assert {part: len(rows) for part, rows in parts.items()} == SIZES
    assert sum(SIZES.values()) >= 200_000
    assert SIZES["train"] >= 120_000
    texts = {part: {" ".join(words_of(c.text)) for c in rows} for part, rows in parts.items()}
    assert all(not texts[one] & texts[other] for one, other in itertools.combinations(PARTS, 2))
    assert len({c.text for rows in parts.values() for c in rows}) >= 0.95 * sum(SIZES.values())
    assert np.mean([c.score > 0 for rows in parts.values() for c in rows]) == pytest.approx(0.5, abs=0.01)
