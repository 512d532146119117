"""Off-policy estimates of a policy's expected return, from logged episodes and the policy's chances alone.

Legend: N episodes of at most T turns. pi is the policy in question, mu the behaviour that wrote the log. Returns are
undiscounted. After an episode's end its weight stays as it was, and all else is 0.

    w_t     = prod_{k <= t} pi(a_k | h_k) / mu(a_k | h_k), divided at each turn by its sum over episodes
    PDWIS   = sum_t sum_i w_it r_it
    WDR     = mean_i v(h_i0) + sum_t sum_i w_it ( r_it + v(h_i,t+1) - q(h_it, a_it) )

PDWIS is per-decision weighted importance sampling (Precup, Sutton & Singh 2000); WDR the weighted doubly robust
estimate (Thomas & Brunskill, arXiv 1604.00923, their equation 5 with its terms in another order). Both are biased where
few games have most of the weight, and neither exists where all weights are 0; `effective_games` says how many count.
"""

from __future__ import annotations

import numpy as np


def importance_weights(target: np.ndarray, behaviour: np.ndarray) -> np.ndarray:
    """(N, T) ratios of the chances of each episode up to and with turn t, (N, T) each, not yet normalised.

    Chances of a whole prefix serve where who plays is drawn once an episode, so that turns are not independent.

    Raises:
        ValueError: the behaviour could not have written an episode.
    """
    if (behaviour <= 0).any():
        number = int(np.flatnonzero((behaviour <= 0).any(axis=1))[0])
        raise ValueError(f"the behaviour never plays as in episode {number}; it must be the one that wrote the log")
    return target / behaviour


def per_decision(weights: np.ndarray, rewards: np.ndarray) -> float | None:
    """PDWIS of (N, T) weights and rewards; None where all weights of a turn are 0."""
    normal = _normalised(weights)
    return None if normal is None else float((normal * rewards).sum())


def doubly_robust(
    weights: np.ndarray, rewards: np.ndarray, q: np.ndarray, v: np.ndarray, v_next: np.ndarray
) -> float | None:
    """WDR; None where all weights of a turn are 0.

    Args:
        weights, rewards: (N, T).
        q: (N, T) value of the logged action. v: (N,) of the start. v_next: (N, T) of what follows, 0 at an end.
    """
    normal = _normalised(weights)
    return None if normal is None else float(v.mean() + (normal * (rewards + v_next - q)).sum())


def effective_games(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 at the last turn: as many games of equal weight would tell as much; 0 where all are 0."""
    last = weights[:, -1]
    return float(last.sum() ** 2 / np.square(last).sum()) if last.any() else 0.0


def _normalised(weights: np.ndarray) -> np.ndarray | None:
    sums = weights.sum(axis=0)
    return weights / sums if (sums > 0).all() else None
