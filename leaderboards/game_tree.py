"""The distinct histories of logged Wordle games as a tree, and what players would say at each.

Legend: N games of at most T turns, A words, S distinct histories (states, the empty one first), K distinct pairs of
what is possible and the number of guesses, on which a `MarkovPlayer`'s choice depends.
"""

from __future__ import annotations

import numpy as np

from leaderboards.targets import Crowd
from lmrl_envs.datasets import TextDataset
from lmrl_envs.wordle.players import MarkovPlayer, Rules
from lmrl_envs.wordle.rules import PATTERN_CODES, PATTERNS


class GameTree:
    """Logged games as paths of one tree.

    Attributes:
        state, word, reward: (N, T) of each game: the history before each guess, the guess, what it earned; -1, -1 and
            0 after the end.
        next: (N, T) int64, the state after each guess, -1 where the game is over.
        parent, depth, said: (S,) the history without its last guess, the guesses in it, and the last of them; -1 at the
            start. A history stands after its parent, all of one depth in one block, as `levels` has them.
        key: (S,) which of the K pairs of what is possible and the number of guesses a state has; `key_states`, (K,), is
            a state of each.
        features: (S, T) int64, from 1: the number of guesses made, and each pair of a guess and its pattern; 0 fills
            up. They are what was said, and nothing of the rules.
    """

    def __init__(self, data: TextDataset, rules: Rules) -> None:
        """Reads games of words of the rules that ended by themselves.

        Raises:
            ValueError: a guess is not in the list.
        """
        self.rules = rules
        self.word, pattern, self.reward = _turns(data, rules)
        games, turns = self.word.shape
        self.state = np.full((games, turns), -1)
        self.state[:, 0] = 0
        parent, depth, fact = [np.array([-1])], [np.zeros(1, np.int64)], [np.array([-1])]
        possible = [np.ones((1, len(rules.answers)), np.bool_)]
        size = 1
        self.levels = [slice(0, 1)]
        for turn in range(turns - 1):  # the states that follow those of a turn stand in one block
            live = np.flatnonzero(self.word[:, turn + 1] >= 0)
            facts = self.word[live, turn] * len(PATTERNS) + pattern[live, turn]
            here = self.state[live, turn] - self.levels[-1].start
            found, row = np.unique(here * (len(rules.guesses) * len(PATTERNS)) + facts, return_inverse=True)
            above, said = np.divmod(found, len(rules.guesses) * len(PATTERNS))
            word, code = np.divmod(said, len(PATTERNS))
            self.state[live, turn + 1] = size + row
            parent.append(above + self.levels[-1].start)
            depth.append(np.full(len(found), turn + 1))
            fact.append(said)
            possible.append(possible[-1][above] & (rules.table[word] == code[:, None]))
            self.levels.append(slice(size, size + len(found)))
            size += len(found)
        self.parent, self.depth, self._fact = map(np.concatenate, (parent, depth, fact))
        self.next = np.column_stack([self.state[:, 1:], np.full(games, -1)])
        self.said = np.where(self._fact < 0, -1, self._fact // len(PATTERNS))
        self.features = self._features(turns)
        whole = np.concatenate(possible)
        keys = np.column_stack([self.depth, np.packbits(whole, axis=1)])
        _, self.key_states, self.key = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        self._known = [(whole[state], int(self.depth[state])) for state in self.key_states]

    def __len__(self) -> int:
        """S."""
        return len(self.parent)

    @property
    def live(self) -> np.ndarray:
        """(N, T) bool, where a guess was made."""
        return self.word >= 0

    def _features(self, turns: int) -> np.ndarray:
        facts, number = np.unique(self._fact, return_inverse=True)  # the first is that of no fact
        features = np.zeros((len(self), turns), np.int64)
        features[:, 0] = len(facts) + self.depth
        for level in self.levels[1:]:
            above = self.parent[level]
            features[level, 1:] = features[above, 1:]
            features[np.arange(level.start, level.stop), self.depth[level]] = number[level]
        return features

    def chances(self, player: MarkovPlayer) -> np.ndarray:
        """(K, A) chance of each word; a player who also says others has less than 1 in all."""
        words = len(self.rules.guesses)
        return np.array([player.probabilities(possible, guesses)[:words] for possible, guesses in self._known])


class CrowdChances:
    """What a crowd says at every state of a tree."""

    def __init__(self, tree: GameTree, crowd: Crowd) -> None:
        self._tree = tree
        self.tables = np.array([tree.chances(player) for player, _ in crowd])  # (members, K, A)
        # the chance that a member plays and has said what leads to each state, (S, members)
        self._joint = np.empty((len(tree), len(crowd)))
        self._joint[0] = [weight for _, weight in crowd]
        for level in tree.levels[1:]:
            above = tree.parent[level]
            word = tree.said[level]
            self._joint[level] = self._joint[above] * self.tables[:, tree.key[above], word].T

    def prefix(self) -> np.ndarray:
        """(N, T) chance that the crowd says all that was said up to and with each turn; after the end, as at the end.

        It leaves out the chances of what the environment said, which are the same for everybody.
        """
        tree = self._tree
        said = (self._joint[tree.state] * self.tables[:, tree.key[tree.state], tree.word].transpose(1, 2, 0)).sum(-1)
        for turn in range(1, said.shape[1]):
            over = ~tree.live[:, turn]
            said[over, turn] = said[over, turn - 1]
        return said

    def at(self, states: np.ndarray) -> np.ndarray:
        """(n,) states to (n, A) float32, the chance of each word next; uniform where the crowd says none of them."""
        joint = self._joint[states]
        total = joint.sum(1, keepdims=True)
        posterior = np.where(total > 0, joint / np.maximum(total, 1e-300), self._joint[0])
        chances = np.einsum("nm,mna->na", posterior, self.tables[:, self._tree.key[states]])
        silent = chances.sum(1) == 0
        chances[silent] = 1 / chances.shape[1]
        return chances.astype(np.float32)

    def outside(self) -> float:
        """The share of what the crowd would say at the histories of the log that none of its words are."""
        tables = self.tables.sum(2)[:, self._tree.key[self._tree.state[self._tree.live]]]
        return float(1 - self._joint[0] @ tables.mean(1))


def _turns(data: TextDataset, rules: Rules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, T) words, pattern codes and rewards; -1, -1 and 0 after the end."""
    shape = len(data), rules.max_guesses
    word, pattern, reward = np.full(shape, -1), np.full(shape, -1), np.zeros(shape)
    for game, episode in enumerate(data):
        for turn, (action, said) in enumerate(zip(episode.turns[::2], episode.turns[1::2], strict=True)):
            if action.text not in rules.index:
                raise ValueError(f"game {game} has the guess {action.text!r}, which is not in the list of guesses")
            word[game, turn], pattern[game, turn] = rules.index[action.text], PATTERN_CODES[said.text]
            reward[game, turn] = action.reward
    return word, pattern, reward
