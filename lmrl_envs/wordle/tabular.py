"""Tabular expectile backup: what ILQL and SARSA would learn from a dataset of Wordle games if they fitted it exactly.

Kostrikov et al., "Offline RL with Implicit Q-Learning", arXiv 2110.06169, at the level of turns. A state s is a
distinct history, or what `STATES` makes of it, an action a a word logged there. Over the logged outcomes of (s, a), and
the logged actions of s weighted by their counts,

    Q(s, a) = mean ( r + gamma_turn V(s') ),    V = 0 past the end
    V(s)    = the tau-expectile of Q(s, .):  sum_a n(s, a) |tau - 1[Q(s, a) < V(s)]| (Q(s, a) - V(s)) = 0

tau = 1/2 is SARSA: V is the mean. No network, no step size, no sampling: the answer is unique. An agent that writes
letters takes an expectile at each: `letters` has V(s) as the expectile over first letters of expectiles over second
ones, and so on, which lies above the one over words for tau > 1/2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lmrl_envs.core import Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.wordle.exact import playout_values
from lmrl_envs.wordle.rules import encode_words
from lmrl_envs.wordle.solvers import ExactTable, Optimal, Rules
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.truth import Truth, agreement, crowd_of
from lmrl_envs.wordle.words import WORD_LENGTH

TAUS = (0.5, 0.7, 0.8, 0.9, 0.95)
_ROUNDING = 1e-12
_LETTERS = 128
"""Codes that a letter may have."""

State = Callable[[Sequence[Turn]], Hashable]
"""What a backup takes for the state after some turns: histories of which it is equal, and of equal length, are one."""


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
    task, logged = WordleTask(**data.metadata.env_kwargs), LoggedStates(data)
    found = []
    for tau in taus:
        Q = logged.backup(tau, gamma_turn)
        policy = logged.policy(Q, task)
        mean_return = float(playout_values(policy, task, [()])[0])
        found.append(Backup(tau, opener_share(logged.openers(Q), data), mean_return, policy.act([()])[0]))
    return found


class Fit(NamedTuple):
    """How well the backup of one dataset agrees with the exact values of the words in another."""

    states: str
    """In `STATES`."""
    letters: bool
    tau: float
    known: float
    """The share of the other dataset's turns whose state and word are in the first; what follows is of these."""
    optimum: Mapping[str, float]
    """See `lmrl_envs.wordle.truth.agreement`."""
    people: Mapping[str, float]


def fits(
    data: TextDataset, other: TextDataset, exact: Truth, taus: Sequence[float], *, gamma_turn: float = 0.95
) -> list[Fit]:
    """Backups of `data` with each of `taus`, each kind of states, by words and by letters, beside exact values.

    Args:
        exact: of `other`, discounted by `gamma_turn`.
    """
    found = []
    for name, make in STATES.items():
        logged = LoggedStates(data, make(data))
        rows = np.array([pair for episode in other for pair in logged.pairs(episode.turns)])
        known = rows >= 0
        for letters in (False, True):
            for tau in taus:
                q = logged.backup(tau, gamma_turn, letters=letters)[rows[known]]
                truths = agreement(q, exact.optimum[known]), agreement(q, exact.people[known])
                found.append(Fit(name, letters, tau, float(known.mean()), *truths))
    return found


def texts(turns: Sequence[Turn]) -> Hashable:
    """The history itself."""
    return tuple([turn.text for turn in turns])


def _boards(data: TextDataset) -> State:
    """The answers that are still possible."""
    task = WordleTask(**data.metadata.env_kwargs)
    table = ExactTable(task, Optimal(Rules.of(task)))
    return lambda turns: table.place(turns)[0]


def _boards_and_players(data: TextDataset) -> State:
    """The answers that are still possible, and the chance that each of the people is playing, in tenths."""
    crowd, board = crowd_of(data), _boards(data)
    return lambda turns: (board(turns), tuple((10 * crowd.posterior(turns)).round().tolist()))


STATES: dict[str, Callable[[TextDataset], State]] = {
    "history": lambda data: texts,
    "board": _boards,
    "board and player": _boards_and_players,
}
"""What a table can know of a history: all of it, which it then has mostly met once; what the hints leave possible; and
besides, who is playing, which tells how the game goes on. A network is somewhere between these."""


class LoggedStates:
    """What was logged where. Legend: S states, the start first; E pairs of state and action; F of pair and next state.

    Attributes:
        words: (E,) the actions.
        state, count, reward: (E,) where each is taken, how often, and the sum of its rewards.
        depth: (S,) the turns before each state.
        pair, following, times: (F,) after which pair the game went on at which state, and how often.
    """

    def __init__(self, data: TextDataset, state_of: State = texts) -> None:
        """Reads the games; all are to have ended by themselves, as Wordle's do."""
        self._state_of = state_of
        self._states: dict[tuple[int, Hashable], int] = {}
        self._pairs: dict[tuple[int, str], int] = {}
        known: dict[Hashable, int] = {}  # the state of each history
        transitions: Counter[tuple[int, int]] = Counter()
        rows: list[int] = []  # the pair of each logged turn
        rewards: list[float] = []
        for episode in data:
            before = None
            for end in range(0, len(episode.turns), 2):
                history, action = episode.turns[:end], episode.turns[end]
                key = texts(history)
                if key not in known:
                    known[key] = self._states.setdefault((end // 2, state_of(history)), len(self._states))
                if before is not None:
                    transitions[before, known[key]] += 1
                before = self._pairs.setdefault((known[key], action.text), len(self._pairs))
                rows.append(before)
                rewards.append(action.reward)
        self.words = [word for _, word in self._pairs]
        self.state = np.array([state for state, _ in self._pairs])
        self.depth = np.array([depth for depth, _ in self._states])
        self.count = np.bincount(rows)
        self.reward = np.bincount(rows, weights=rewards)
        self.pair, self.following = np.array(list(transitions), np.int64).reshape(-1, 2).T
        self.times = np.array(list(transitions.values()), np.int64)

    def backup(self, tau: float, gamma_turn: float, *, letters: bool = False) -> np.ndarray:
        """(E,) Q of every logged pair."""
        total = self.reward.copy()
        Q, V = np.empty(len(total)), np.empty(len(self.depth))
        for depth in range(self.depth.max(), -1, -1):
            pairs = np.flatnonzero(self.depth[self.state] == depth)
            Q[pairs] = total[pairs] / self.count[pairs]
            states, V_s = self._values(pairs, Q[pairs], tau, letters)
            V[states] = V_s
            ways = np.flatnonzero(self.depth[self.following] == depth)
            np.add.at(total, self.pair[ways], gamma_turn * self.times[ways] * V[self.following[ways]])
        return Q

    def _values(self, pairs: np.ndarray, Q: np.ndarray, tau: float, letters: bool) -> tuple[np.ndarray, np.ndarray]:
        """The states that pairs are taken in, and V of each."""
        counts, keys = self.count[pairs], self.state[pairs]
        if letters:  # a state and some letters as one number, whose last digit is the last letter
            for code in encode_words([self.words[pair] for pair in pairs]).astype(np.int64).T:
                keys = keys * _LETTERS + code
        for _ in range(WORD_LENGTH if letters else 1):
            parents, group = np.unique(keys // _LETTERS if letters else keys, return_inverse=True)
            Q, counts, keys = expectiles(Q, counts, group, tau), np.bincount(group, counts), parents
        return keys, Q

    def openers(self, Q: np.ndarray) -> dict[str, float]:
        """Q of each logged first word."""
        return {self.words[pair]: float(Q[pair]) for pair in np.flatnonzero(self.state == 0)}

    def pairs(self, turns: Sequence[Turn]) -> list[int]:
        """The pair of each agent turn of a game, -1 where it was never logged."""
        return [self._pairs.get((self.state_of(turns[:end]), turns[end].text), -1) for end in range(0, len(turns), 2)]

    def state_of(self, turns: Sequence[Turn]) -> int:
        """The state of a history, -1 where it was never logged."""
        return self._states.get((len(turns) // 2, self._state_of(turns)), -1)

    def policy(self, Q: np.ndarray, task: WordleTask) -> TabularPolicy:
        """The greedy policy of Q."""
        order = np.lexsort((-self.count, -Q, self.state))
        states, first = np.unique(self.state[order], return_index=True)
        best = dict(zip(states.tolist(), order[first].tolist(), strict=True))
        return TabularPolicy(self, {state: self.words[pair] for state, pair in best.items()}, task)


class TabularPolicy:
    """Plays the logged word of highest Q; ties go to the word logged more often.

    Where a history was never logged, it plays the first word of the list that agrees with all patterns.
    """

    name = "tabular"

    def __init__(self, logged: LoggedStates, best: Mapping[int, str], task: WordleTask) -> None:
        self._logged, self._best, self._task = logged, best, task

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[str]:
        """One word for each history."""
        return [self._best.get(self._logged.state_of(turns)) or self._task.candidates(turns)[0] for turns in histories]


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
