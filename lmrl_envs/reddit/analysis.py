"""What an agent's replies say beyond their mean reward: how various they are, and how much of the reward is real."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from lmrl_envs.core import Episode
from lmrl_envs.reddit.rewards import PAY

SIZES = (1, 2, 4, 8, 16, 32, 64)
_SELF_BLEU_TEXTS = 200  # that self-BLEU compares with each other


class Diversity(NamedTuple):
    """How various N texts are. None where there is nothing to count.

    Attributes:
        distinct_1, distinct_2, distinct_3: Distinct n-grams over all n-grams of words. They fall with N, so that only
            equal numbers of texts compare.
        self_bleu: Mean BLEU (to 4-grams) of a text with the others as references; 1 where all are the same. Of the
            first 200 texts.
        words: Mean length.
        copies: Share of texts that stand in the training data, word for word; None without those.
    """

    distinct_1: float | None
    distinct_2: float | None
    distinct_3: float | None
    self_bleu: float | None
    words: float
    copies: float | None


def diversity(texts: Sequence[str], training: Collection[str] | None = None) -> Diversity:
    """Measures (N,) texts, split at white space, without regard to case; `training` is best given as a set.

    Raises:
        ValueError: there is no text.
        ImportError: nltk, which computes BLEU, is not installed.
    """
    if not texts:
        raise ValueError("expected at least one text")
    said = [text.lower().split() for text in texts]
    return Diversity(
        distinct_1=_distinct(said, 1),
        distinct_2=_distinct(said, 2),
        distinct_3=_distinct(said, 3),
        self_bleu=self_bleu(said[:_SELF_BLEU_TEXTS]),
        words=sum(map(len, said)) / len(said),
        copies=None if training is None else sum(text in training for text in texts) / len(texts),
    )


def _distinct(said: Sequence[Sequence[str]], n: int) -> float | None:
    grams = [tuple(words[i : i + n]) for words in said for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def self_bleu(said: Sequence[Sequence[str]]) -> float | None:
    """Mean BLEU of each list of words with all others as references (Zhu et al. 2018); None for fewer than two."""
    try:
        from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu  # noqa: PLC0415 - optional, and slow
    except ImportError as error:
        raise ImportError("self-BLEU needs nltk: pip install 'lmrl-envs[bench]'") from error
    if len(said) < 2:
        return None
    smoothing = SmoothingFunction().method1  # adds .1 to counts of 0, which short texts have
    scores = [
        sentence_bleu([*said[:i], *said[i + 1 :]], words, smoothing_function=smoothing) if words else 0.0
        for i, words in enumerate(said)
    ]
    return float(np.mean(scores))


class BestOf(NamedTuple):
    """Mean rewards of the reply that the model likes best among n; None where no truth is known."""

    n: int
    reward: float
    true_reward: float | None
    true_toxicity: float | None
    true_chance: float | None


def best_of_n(episodes: Iterable[Episode], sizes: Sequence[int] = SIZES) -> list[BestOf]:
    """How rewards grow where the model chooses among n replies to a comment, and whether the truth grows with them.

    The more the model may choose, the more of what it chooses are its mistakes. Replies are ordered by the reward that
    the model expects (its probabilities times 0 / -5 / -10, or 0 / 10), ties at random. The mean is over all subsets
    of n of a comment's replies, then over comments.

    Args:
        episodes: Of Reddit-v0, many of each parent: `rollout(policy, "Reddit-v0", episodes="all", repeats=64)`.
        sizes: The n; none larger than the fewest replies to a comment.

    Raises:
        ValueError: there are too few replies to a comment.
    """
    groups: defaultdict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        groups[episode.info["parent"]].append(episode)
    fewest = min(map(len, groups.values()), default=0)
    if not sizes or max(sizes) > fewest:
        raise ValueError(f"expected at least {max(sizes, default=1)} replies to each comment, got {fewest}")
    return [_best_of(n, list(groups.values())) for n in sizes]


def _best_of(n: int, groups: Sequence[Sequence[Episode]]) -> BestOf:
    weights = [selection_weights(np.array([_expected(episode.info) for episode in group]), n) for group in groups]

    def mean(values: Sequence[Sequence[float]]) -> float:
        return float(np.mean([weight @ row for weight, row in zip(weights, values, strict=True)]))

    def true_mean(name: str) -> float | None:
        values = [[episode.info[name] for episode in group] for group in groups]
        return None if any(None in row for row in values) else mean(values)

    reward = mean([[episode.total_return for episode in group] for group in groups])
    return BestOf(n, reward, true_mean("true_reward"), true_mean("true_toxicity"), true_mean("true_chance"))


def selection_weights(scores: np.ndarray, n: int) -> np.ndarray:
    """(N,) chances that each of N replies is the best of n drawn without replacement; ties are broken at random."""
    order = np.argsort(-scores, kind="stable")
    rank, total = np.arange(len(scores)), len(scores)
    # The reply of rank k is the best if the n - 1 others are among the N - 1 - k below it.
    below = total - 1 - rank
    chances = np.where(below >= n - 1, np.exp(_log_choose(below, n - 1) - _log_choose(np.array(total), n)), 0.0)
    _, place, counts = np.unique(-scores[order], return_inverse=True, return_counts=True)
    shared = np.bincount(place, weights=chances) / counts
    weights = np.empty(total)
    weights[order] = shared[place]
    return weights


def _log_choose(n: np.ndarray, k: int) -> np.ndarray:
    """ln of n choose k; of no meaning where k > n."""
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0) + 1.0)


def _expected(info: Mapping) -> float:
    probabilities = info["probabilities"]
    return float(np.dot(probabilities, PAY["toxicity" if len(probabilities) == 3 else "upvotes"]))
