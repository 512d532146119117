"""Tabular expectile backup: what ILQL and SARSA would learn from a dataset of Wordle games if they fitted it exactly.

Kostrikov et al., "Offline RL with Implicit Q-Learning", arXiv 2110.06169, at the level of turns. A state s is a
distinct history, an action a a word logged there. Over the logged outcomes of (s, a), and the logged actions of s
weighted by their counts,

    Q(s, a) = mean ( r + gamma_turn V(s') ),    V = 0 past the end
    V(s)    = the tau-expectile of Q(s, .):  sum_a n(s, a) |tau - 1[Q(s, a) < V(s)]| (Q(s, a) - V(s)) = 0

tau = 1/2 is SARSA: V is the mean. No network, no step size, no sampling: the answer is unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lmrl_envs.core import Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.wordle.exact import playout_values
from lmrl_envs.wordle.task import WordleTask

TAUS = (0.5, 0.7, 0.8, 0.9, 0.95)
_ROUNDING = 1e-12


class Backup(NamedTuple):
    """What the backup of branching data comes to with one expectile."""

    tau: float
    share: float
    """See `opener_share`."""
    mean_return: float
    """Undiscounted, of the greedy policy against every answer once."""
    opener: str
    """Its first word."""


def backups(data: TextDataset, taus: Sequence[float] = TAUS, *, gamma_turn: float = 0.95) -> list[Backup]:
    """The backup of branching data with each of `taus`."""
    task, tree = WordleTask(**data.metadata.env_kwargs), LoggedTree(data)
    found = []
    for tau in taus:
        Q = tree.backup(tau, gamma_turn)
        policy = tree.policy(Q, task)
        mean_return = float(playout_values(policy, task, [()])[0])
        found.append(Backup(tau, opener_share(tree.openers(Q), data), mean_return, policy.act([()])[0]))
    return found


class LoggedTree:
    """The histories of a dataset as a tree. Legend: S states, the empty history first; E pairs of state and action.

    Attributes:
        words: (E,) the actions.
        state, count, reward: (E,) where each is taken, how often, and the sum of its rewards.
        parent, visits, depth: (S,) the pair that leads to each state (-1 at the start), how often the game went on from
            there, and the turns before it.
    """

    def __init__(self, data: TextDataset) -> None:
        """Reads the games; all are to have ended by themselves, as Wordle's do."""
        self._pairs: dict[tuple[int, str], int] = {}
        self._states: dict[tuple[int, str], int] = {(-1, ""): 0}
        rows: list[int] = []  # the pair of each logged turn
        rewards: list[float] = []
        state: list[int] = []
        parent, depth = [-1], [0]
        for episode in data:
            here = 0
            agent, env = episode.turns[::2], episode.turns[1::2]
            for turn, said in zip(agent, env, strict=True):
                pair = self._pairs.setdefault((here, turn.text), len(state))
                if pair == len(state):
                    state.append(here)
                rows.append(pair)
                rewards.append(turn.reward)
                if said is env[-1]:
                    break
                here = self._states.setdefault((pair, said.text), len(parent))
                if here == len(parent):
                    parent.append(pair)
                    depth.append(depth[state[pair]] + 1)
        self.words = [word for _, word in self._pairs]
        self.state, self.parent, self.depth = np.array(state), np.array(parent), np.array(depth)
        self.count = np.bincount(rows)
        self.reward = np.bincount(rows, weights=rewards)
        self.visits = np.bincount(self.state, weights=self.count)

    def backup(self, tau: float, gamma_turn: float) -> np.ndarray:
        """(E,) Q of every logged pair."""
        total = self.reward.copy()
        Q = np.empty(len(total))
        for depth in range(self.depth.max(), -1, -1):
            pairs = np.flatnonzero(self.depth[self.state] == depth)
            Q[pairs] = total[pairs] / self.count[pairs]
            if depth:
                states, group = np.unique(self.state[pairs], return_inverse=True)
                V = expectiles(Q[pairs], self.count[pairs], group, tau)
                np.add.at(total, self.parent[states], gamma_turn * self.visits[states] * V)
        return Q

    def openers(self, Q: np.ndarray) -> dict[str, float]:
        """Q of each logged first word."""
        return {self.words[pair]: float(Q[pair]) for pair in np.flatnonzero(self.state == 0)}

    def policy(self, Q: np.ndarray, task: WordleTask) -> TabularPolicy:
        """The greedy policy of Q."""
        order = np.lexsort((-self.count, -Q, self.state))
        states, first = np.unique(self.state[order], return_index=True)
        best = dict(zip(states.tolist(), order[first].tolist(), strict=True))
        return TabularPolicy(self._pairs, self._states, {s: self.words[pair] for s, pair in best.items()}, task)


class TabularPolicy:
    """Plays the logged word of highest Q; ties go to the word logged more often.

    Where a history was never logged, it plays the first word of the list that agrees with all patterns.
    """

    name = "tabular"

    def __init__(
        self,
        pairs: Mapping[tuple[int, str], int],
        states: Mapping[tuple[int, str], int],
        best: Mapping[int, str],
        task: WordleTask,
    ) -> None:
        self._pairs, self._states, self._best, self._task = pairs, states, best, task

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[str]:
        """One word for each history."""
        return [self._best.get(self._state(turns)) or self._task.candidates(turns)[0] for turns in histories]

    def _state(self, turns: Sequence[Turn]) -> int:
        """The state of a history, -1 where it was never logged."""
        state = 0
        for turn, said in zip(turns[::2], turns[1::2], strict=True):
            pair = self._pairs.get((state, turn.text), -1)
            state = self._states.get((pair, said.text), -1)
        return state


def expectiles(values: np.ndarray, counts: np.ndarray, group: np.ndarray, tau: float) -> np.ndarray:
    """(groups,) the tau-expectile of each group's `values`, weighted by `counts`; `group`, from 0, says whose each is.

    Newton's method on a piecewise linear equation: each step is a weighted mean, and a few reach the solution.

    Raises:
        ValueError: tau is not between 0 and 1.
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau must lie between 0 and 1, got {tau}")
    V, step = np.zeros(group.max() + 1), np.inf
    while step > _ROUNDING:
        weights = counts * np.where(values < V[group], 1 - tau, tau)
        new = np.bincount(group, weights * values) / np.bincount(group, weights)
        V, step = new, np.abs(new - V).max()
    return V


def opener_share(Q: Mapping[str, float], data: TextDataset) -> float:
    """The share of pairs of an expert's and a staller's first word in branching data in which the expert's has more Q.

    Pairs are weighted by how many of the expert's and of the other player's games begin so; pairs of the same word, as
    `wordle/branching-paper-v0` has, are left out.

    Args:
        Q: of each first word that an expert's or a staller's game in `data` has.
    """
    openers: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for episode in data:
        if episode.info["behaviour"] != "repeat":
            openers[episode.info["behaviour"] == "expert"][episode.turns[0].text] += 1
    better = pairs = 0
    for expert, n in openers[True].items():
        for other, m in openers[False].items():
            if expert != other:
                pairs += n * m
                better += n * m * (Q[expert] > Q[other])
    return better / pairs
