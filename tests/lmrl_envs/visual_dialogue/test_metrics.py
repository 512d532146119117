from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.metrics import ndcg, ranks, retrieval


def test_ranks_count_ties_half():
    scores = np.array([[3.0, 1.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0], [4.0, 3.0, 2.0, 1.0]])
    assert ranks(scores, np.array([2, 1, 3])).tolist() == [1.5, 1.5, 3.0]


def test_retrieval_by_hand():
    figures = retrieval(np.array([0.0, 3.0, 4.0, 9.0, 99.0]))
    assert figures == pytest.approx(
        {"R@1": 0.2, "R@5": 0.6, "R@10": 0.8, "MRR": (1 + 1 / 4 + 1 / 5 + 1 / 10 + 1 / 100) / 5, "mean rank": 24.0}
    )
    with pytest.raises(ValueError, match="at least one rank"):
        retrieval(np.array([]))


def test_ndcg_by_hand():
    """Two relevant options (1 and .5), ranked first and third of four: only the first two places count."""
    scores = np.array([[0.9, 0.1, 0.5, 0.7]])
    relevance = np.array([[1.0, 0.0, 0.5, 0.0]])
    best = 1 + 0.5 / np.log2(3)
    assert ndcg(scores, relevance) == pytest.approx(1 / best)
    assert ndcg(np.array([[0.9, 0.1, 0.8, 0.7]]), relevance) == pytest.approx(1.0)
    assert ndcg(np.array([[0.0, 0.9, 0.8, 0.7]]), relevance) == pytest.approx(0.5 / np.log2(3) / best)
    both = ndcg(np.array([[0.9, 0.1, 0.5, 0.7], [0.9, 0.1, 0.8, 0.7]]), np.repeat(relevance, 2, axis=0))
    assert both == pytest.approx((1 / best + 1) / 2)


def test_ndcg_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match=r"expected \(N, options\) twice, got \(1, 2\) and \(1, 3\)"):
        ndcg(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="relevance above 0"):
        ndcg(np.zeros((1, 2)), np.zeros((1, 2)))
