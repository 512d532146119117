"""How well answers are ranked, in VisDial's own terms."""

from __future__ import annotations

import numpy as np


def ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N, options) scores, higher is better, and (N,) indices of the true option to its ranks (N,), from 0.

    Options scored strictly better count whole, ties half.
    """
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    return (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


def retrieval(ranks: np.ndarray) -> dict[str, float]:
    """R@1, R@5, R@10, MRR and mean rank of (N,) ranks, which count from 0; the mean rank counts from 1, as VisDial's.

    Raises:
        ValueError: there is no rank.
    """
    if not len(ranks):
        raise ValueError("expected at least one rank")
    recalls = {f"R@{k}": float((ranks < k).mean()) for k in (1, 5, 10)}
    return recalls | {"MRR": float((1 / (ranks + 1)).mean()), "mean rank": float(ranks.mean() + 1)}


def ndcg(scores: np.ndarray, relevance: np.ndarray) -> float:
    """Mean normalised discounted cumulative gain of (N, options) scores under (N, options) dense relevance.

    The gain of the k options ranked first, where k of a row's options have relevance above 0, over the gain of the
    best order. Equal scores are in the order of the options.

    Raises:
        ValueError: the shapes differ, or a row has no relevant option.
    """
    if scores.shape != relevance.shape or scores.ndim != 2:
        raise ValueError(f"expected (N, options) twice, got {scores.shape} and {relevance.shape}")
    relevant = (relevance > 0).sum(axis=1)
    if not len(relevant) or not relevant.all():
        raise ValueError("expected at least one option with relevance above 0 in each row")
    options = np.arange(scores.shape[1])
    discounts = np.where(options < relevant[:, None], 1 / np.log2(options + 2), 0)
    order = np.argsort(-scores, axis=1, kind="stable")
    gained = (np.take_along_axis(relevance, order, axis=1) * discounts).sum(axis=1)
    best = (-np.sort(-relevance, axis=1) * discounts).sum(axis=1)
    return float((gained / best).mean())
