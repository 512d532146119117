"""Returns of agent turns, and V of the histories at which they begin.

Legend: T agent turns of a dataset, in order; N episodes; d the width of a trunk.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from agents.batch import TokenStore

FOLDS = 5
FEATURES = 512
"""Random features beside the states themselves."""
PENALTY = 100.0
_AT_ONCE = 8_192  # turns whose features stand in memory at once


def returns_to_go(store: TokenStore) -> np.ndarray:
    """(T,) float64, undiscounted: the reward of each agent turn and of all that follow in its episode.

    A row that was cut from outside counts with what it had earned by then.
    """
    ahead = np.append(np.asarray(store.rewards, np.float64)[::-1].cumsum()[::-1], 0.0)
    starts = store.turn_starts()
    return ahead[starts] - ahead[store.offsets[1:]][store.row_of_tokens()[starts]]


class ReturnMap(nn.Module):
    """Returns to [0, 1], linearly: the least of the data to 0, the greatest to 1. Kept with the agent's weights."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.ones(()))

    def fit(self, returns: np.ndarray) -> None:
        """Takes the range from data.

        Raises:
            ValueError: all returns are equal.
        """
        if returns.min() == returns.max():
            raise ValueError(f"every return is {returns[0]}: there is nothing to weigh by; take bc")
        self.low.fill_(returns.min())
        self.high.fill_(returns.max())

    def __call__(self, returns: np.ndarray) -> np.ndarray:
        """(M,) to (M,); what lies outside the range that was seen ends at 0 or 1."""
        low, high = self.low.item(), self.high.item()
        return np.clip((returns - low) / (high - low), 0.0, 1.0)


class ReturnRegression:
    """V as ridge regression of returns on a reference's states, and on `FEATURES` random ReLU features of them.

    Solved exactly from sums over the data, so that no step size or stopping time stands behind V.
    """

    def __init__(self, states: np.ndarray, *, seed: int = 0) -> None:
        rng = np.random.Generator(np.random.PCG64(seed))
        d = states.shape[1]
        sample = np.asarray(states[:: max(len(states) // 65_536, 1)], np.float64)
        self.centre, self.scale = sample.mean(0), np.maximum(sample.std(0), 1e-2)  # dimensions that say nothing stay so
        self.W, self.b = rng.standard_normal((d, FEATURES)) / np.sqrt(d), rng.standard_normal(FEATURES)

    def features(self, states: np.ndarray) -> np.ndarray:
        """(M, d) to (M, d + FEATURES + 1)."""
        z = (np.asarray(states, np.float64) - self.centre) / self.scale
        return np.concatenate([z, np.maximum(z @ self.W + self.b, 0.0), np.ones((len(z), 1))], axis=1)

    def sums(self, states: np.ndarray, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """X'X and X'y."""
        width = states.shape[1] + FEATURES + 1
        XX, Xy = np.zeros((width, width)), np.zeros(width)
        for part in _parts(len(states)):
            X = self.features(states[part])
            XX += X.T @ X
            Xy += X.T @ returns[part]
        return XX, Xy

    def solve(self, XX: np.ndarray, Xy: np.ndarray) -> np.ndarray:
        """Coefficients; the constant is not penalised."""
        penalty = np.full(len(Xy), PENALTY)
        penalty[-1] = 0.0
        return np.linalg.solve(XX + np.diag(penalty), Xy)

    def predict(self, states: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """(M, d) to (M,) V."""
        return np.concatenate([self.features(states[part]) @ coefficients for part in _parts(len(states))])


def cross_fitted(states: np.ndarray, returns: np.ndarray, row: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """(T,) V at each turn, fitted on the other folds' episodes, so that no return is part of its own baseline.

    Args:
        states: (T, d). returns: (T,), the returns to go. row: (T,), each turn's episode.

    Raises:
        ValueError: there are fewer episodes than folds.
    """
    N = int(row[-1]) + 1
    if N < FOLDS:
        raise ValueError(f"V is fitted in {FOLDS} folds of episodes, and there are {N} episodes; take more data")
    fold = (np.random.Generator(np.random.PCG64(seed)).permutation(N) % FOLDS)[row]
    inside = [np.flatnonzero(fold == k) for k in range(FOLDS)]
    model = ReturnRegression(states, seed=seed)
    sums = [model.sums(states[turns], returns[turns]) for turns in inside]
    XX, Xy = (sum(parts) for parts in zip(*sums, strict=True))
    V = np.empty(len(returns))
    for turns, (own_XX, own_Xy) in zip(inside, sums, strict=True):
        V[turns] = model.predict(states[turns], model.solve(XX - own_XX, Xy - own_Xy))
    return V


def _parts(length: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, length, _AT_ONCE))
