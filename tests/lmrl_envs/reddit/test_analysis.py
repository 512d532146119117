from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from lmrl_envs.core import Episode, Turn
from lmrl_envs.reddit.analysis import best_of_n, diversity, selection_weights, self_bleu


def test_diversity_by_hand() -> None:
    pytest.importorskip("nltk")
    found = diversity(["a b c d", "A b", "x"], training={"x", "a b c"})
    assert found.distinct_1 == pytest.approx(5 / 7)
    assert found.distinct_2 == pytest.approx(3 / 4)
    assert found.distinct_3 == pytest.approx(1)
    assert found.words == pytest.approx(7 / 3)
    assert found.copies == pytest.approx(1 / 3)
    assert diversity(["one two three four"] * 3).self_bleu == pytest.approx(1)
    assert diversity(["", ""])[:4] == (None, None, None, 0.0)
    with pytest.raises(ValueError, match="at least one text"):
        diversity([])


def test_self_bleu_is_that_of_nltk_by_hand() -> None:
    pytest.importorskip("nltk")
    one, other = list("abcde"), list("abcdx")
    # Each against the other: 4/5, 3/4, 2/3 and 1/2 of the n-grams are shared, and lengths are equal.
    assert self_bleu([one, other]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert self_bleu([one]) is None


def test_self_bleu_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.translate.bleu_score", None)
    with pytest.raises(ImportError, match=r"lmrl-envs\[bench\]"):
        self_bleu([["a"], ["b"]])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_weights_are_those_of_all_subsets(n: int) -> None:
    scores = np.array([0.3, 0.9, 0.9, -1.0, 0.0])
    expected = np.zeros(5)
    subsets = list(itertools.combinations(range(5), n))
    for subset in subsets:
        best = [i for i in subset if scores[i] == max(scores[list(subset)])]
        expected[best] += 1 / len(best) / len(subsets)
    assert selection_weights(scores, n) == pytest.approx(expected)


def reply(parent: str, p: tuple[float, float, float], truth: int | None) -> Episode:
    level = int(np.argmax(p))
    info = {"parent": parent, "probabilities": p, "true_toxicity": truth, "true_chance": truth and 0.5}
    info["true_reward"] = None if truth is None else -5.0 * truth
    return Episode("Reddit-v0", 0, (Turn("env", parent), Turn("agent", "x", -5.0 * level)), True, False, info)


def test_a_model_that_is_misled_shows_in_the_curve() -> None:
    """The model likes best what is in truth worst: its reward rises with n, the true one falls."""
    replies = [
        reply(parent, p, truth)
        for parent in ("hello", "there")
        for p, truth in [((0.9, 0.1, 0.0), 2), ((0.2, 0.8, 0.0), 1), ((0.1, 0.2, 0.7), 0), ((0.1, 0.1, 0.8), 0)]
    ]
    one, two, four = best_of_n(replies, (1, 2, 4))
    assert (one.n, one.reward, one.true_reward) == (1, pytest.approx(-25 / 4), pytest.approx(-15 / 4))
    assert two.reward == pytest.approx((3 * 0 + 2 * -5 + 1 * -10) / 6)
    assert two.true_reward == pytest.approx((3 * -10 + 2 * -5 + 0) / 6)
    assert (four.reward, four.true_reward, four.true_toxicity) == pytest.approx((0, -10, 2))


def test_without_truth_the_curve_has_the_model_alone() -> None:
    (one,) = best_of_n([reply("hello", (0.0, 1.0, 0.0), None)], (1,))
    assert one == (1, -5.0, None, None, None)
    with pytest.raises(ValueError, match="at least 4 replies to each comment, got 1"):
        best_of_n([reply("hello", (0.0, 1.0, 0.0), None)], (1, 4))
    with pytest.raises(ValueError, match="got 0"):
        best_of_n([])
