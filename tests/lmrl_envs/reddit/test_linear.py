from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from lmrl_envs.reddit.linear import LinearScorer

KIND, RUDE = ["what a lovely day", "thank you so much", "lovely work"], ["what an idiot", "so dumb", "you dumb idiot"]


@pytest.fixture(scope="module")
def scorer() -> LinearScorer:
    return LinearScorer.fit([""] * 6, KIND + RUDE, np.array([0, 0, 0, 1, 1, 1]))


def test_it_tells_what_it_was_taught(scorer: LinearScorer) -> None:
    p = scorer.score(["", ""], ["lovely, thank you", "an idiot, so dumb"])
    assert p.shape == (2, 2)
    assert p.sum(1) == pytest.approx(1)
    assert p[0, 1] < 0.5 < p[1, 1]
    assert scorer.score([], []).shape == (0, 2)


def test_it_is_scikit_learns_model(scorer: LinearScorer) -> None:
    """The kept arrays say what the fitted pipeline says, within half precision."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorisers = [
        TfidfVectorizer(analyzer="word", ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True),
    ]
    matrix = hstack([vectoriser.fit_transform(KIND + RUDE) for vectoriser in vectorisers])
    model = LogisticRegression(C=4.0, max_iter=300).fit(matrix, [0, 0, 0, 1, 1, 1])
    texts = ["a lovely idiot", "thank you", "dumb"]
    expected = model.predict_proba(hstack([vectoriser.transform(texts) for vectoriser in vectorisers]))
    assert scorer.score([""] * 3, texts) == pytest.approx(expected, abs=1e-3)
    kept = LinearScorer.from_tensors(scorer.config(), scorer.tensors())
    assert kept.score([""] * 3, texts) == pytest.approx(expected, abs=2e-3)


def test_three_levels_and_parents() -> None:
    texts = KIND + RUDE + ["vile scum", "vile filth", "you vile scum"]
    levels = np.repeat([0, 1, 2], 3)
    scorer = LinearScorer.fit(texts[::-1], texts, levels, read_parents=True)
    assert scorer.score(texts[::-1], texts).argmax(1).tolist() == levels.tolist()
    assert not np.allclose(scorer.score(["dumb"], ["vile"]), scorer.score(["vile"], ["dumb"]))


@pytest.mark.parametrize("text", ["", "\x00\x1b[31m", "\ud800", "\u202eidiot", "<script>", "日本語", "a " * 500_000])
def test_any_text_is_scored(scorer: LinearScorer, text: str) -> None:
    assert scorer.score([text], [text]).sum() == pytest.approx(1)


@pytest.mark.slow
def test_tweets_are_told_apart(shared_data: Path) -> None:
    """The Davidson tweets, 5-fold: neither hateful nor offensive against the rest."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    with (shared_data / "reddit" / "davidson_labeled_data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = np.array([row["tweet"] for row in rows]), np.array([int(row["class"] != "2") for row in rows])
    p = np.empty(len(labels))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(texts, labels):
        scorer = LinearScorer.fit(texts[train], texts[train], labels[train])
        p[test] = scorer.score(texts[test], texts[test])[:, 1]
    assert roc_auc_score(labels, p) >= 0.97
