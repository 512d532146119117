"""Thirty policies of exactly known return, by which off-policy estimates are judged.

All of them choose among words by chances that follow from what the game has shown. Several do what the people who wrote
`wordle/human-v0` do, some what these seldom do, and two say words that the data do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lmrl_envs.recipes import MIXES
from lmrl_envs.wordle.behaviours import OPENERS, Casual, mixture
from lmrl_envs.wordle.exact import Splits, backup
from lmrl_envs.wordle.solvers import (
    Boards,
    Entropy,
    MarkovPlayer,
    Noisy,
    Optimal,
    RandomConsistent,
    RandomWord,
    Rules,
    exact_value,
)
from lmrl_envs.wordle.words import load_words

Crowd = Sequence[tuple[MarkovPlayer, float]]
"""Players with their weights; one of them plays a whole game."""
OUTSIDE_WORDS = 5
"""Words that the data lack, for the policies that say some."""


class Drawn(MarkovPlayer):
    """A player that is defined by its chances: it draws from them."""

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        """Inverts the distribution function at the first uniform."""
        chances = np.array([self.probabilities(row, boards.played.shape[1]) for row in boards.possible])
        bounds = chances.cumsum(axis=1)
        drawn = (bounds <= uniforms[:, :1] * bounds[:, -1:]).sum(axis=1)
        last = chances.shape[1] - 1 - np.argmax(chances[:, ::-1] > 0, axis=1)
        return np.minimum(drawn, last)


class Softened(Drawn):
    """With probability `e` a uniform word, else what another player says."""

    def __init__(self, player: MarkovPlayer, e: float) -> None:
        super().__init__(player.rules)
        self.name, self._player, self._e = f"softened({player.name}, {e:g})", player, e
        self._random = RandomWord(player.rules)

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        own, random = self._player.probabilities(possible, guesses), self._random.probabilities(possible, guesses)
        return (1 - self._e) * own + self._e * random


class Tempered(Drawn):
    """The softmax of Q* / temperature; where the temperature is negative, it prefers what is worse."""

    def __init__(self, best: BestQ, temperature: float) -> None:
        super().__init__(best.values.rules)
        self.name, self._best, self._temperature = f"tempered({temperature:g})", best, temperature

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        logits = self._best.q(possible, guesses) / self._temperature
        chances = np.exp(logits - logits.max())
        return chances / chances.sum()


class BestQ:
    """Q* of every guess wherever a game can be; remembers what it was asked."""

    def __init__(self, values: Optimal) -> None:
        self.values, self._splits = values, Splits(values.rules)
        self._known: dict[tuple[int, int], np.ndarray] = {}

    def q(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        """(G,) Q* where `possible`, (A,) bool, is what is known after so many guesses."""
        key = self._splits.pack(possible), guesses
        if key not in self._known:
            played = [0] * (guesses + 1)  # their number alone counts
            words = range(len(self.values.rules.guesses))
            parts = (self._splits.parts(word, key[0]) for word in words)
            self._known[key] = np.array([backup(self.values, found, key[0], played) for found in parts])
        return self._known[key]


class InOrder(Drawn):
    """The first word of the list that can still be the answer, or the last one."""

    def __init__(self, rules: Rules, last: bool = False) -> None:
        super().__init__(rules)
        self.name, self._last = "last possible" if last else "first possible", last

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        answer = np.flatnonzero(possible)[-1 if self._last else 0]
        return np.eye(len(self.rules.guesses))[self.rules.guess_of_answer[answer]]


class Opening(Drawn):
    """One word first, then another player; with `again`, the same word for ever."""

    def __init__(self, word: str, then: MarkovPlayer, *, again: bool = False) -> None:
        super().__init__(then.rules)
        self.name = f"always {word}" if again else f"{word}, then {then.name}"
        self._word, self._then, self._again = np.eye(len(then.rules.guesses))[then.rules.index[word]], then, again

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        return self._word if self._again or guesses == 0 else self._then.probabilities(possible, guesses)


class Outsider(Drawn):
    """With probability `e` one of the guesses that are no answers, else a random consistent word."""

    def __init__(self, rules: Rules, e: float) -> None:
        super().__init__(rules)
        self.name, self._e, self._consistent = f"outsider({e:g})", e, RandomConsistent(rules)
        outside = np.ones(len(rules.guesses))
        outside[rules.guess_of_answer] = 0
        self._outside = outside / outside.sum()

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        return self._e * self._outside + (1 - self._e) * self._consistent.probabilities(possible, guesses)


class Target(NamedTuple):
    """A policy to be estimated. `family` says in what it differs from the people who wrote the data."""

    name: str
    family: str
    crowd: Crowd

    @property
    def expected_return(self) -> float:
        """The exact one, in seconds."""
        return sum(weight * exact_value(player) for player, weight in self.crowd)


def thirty(rules: Rules) -> list[Target]:
    """The policies, on a list short enough to be solved."""
    wider = Rules(rules.answers, (*rules.answers, *_outside_words(rules)), rules.duplicates, rules.max_guesses)
    ranked = Entropy(rules).openers(len(rules.answers))
    openers, worst = ranked[:OPENERS], ranked[-1]
    random, consistent, entropy, best = RandomWord(rules), RandomConsistent(rules), Entropy(rules), Optimal(rules)
    crowd_entropy = Entropy(rules, openers=openers)
    crowd_entropy.name = "entropy, the people's openers"
    q = BestQ(best)
    players: dict[str, Sequence[MarkovPlayer]] = {
        "random": [random, consistent, *(Noisy(rules, e) for e in (0.1, 0.25, 0.5, 0.75, 0.9))],
        "casual": [crowd_entropy, *(Casual(rules, until, openers) for until in (3, 4, 5))],
        "deterministic": [entropy, best, InOrder(rules), InOrder(rules, last=True), Opening(worst, best)],
        "softened": [Softened(player, e) for player in (best, entropy) for e in (0.1, 0.3, 0.5)],
        "tempered": [Tempered(q, temperature) for temperature in (0.1, 0.3, -0.3)],
        "unlikely": [Opening(worst, random, again=True)],
        "outside": [Opening(wider.guesses[-1], RandomConsistent(wider)), Outsider(wider, 0.5)],
    }
    single = [Target(one.name, family, [(one, 1.0)]) for family, some in players.items() for one in some]
    crowds = [Target(f"crowd {name}", "crowd", mixture(rules, mix)) for name, mix in MIXES.items()]
    return [*single, *crowds]


def _outside_words(rules: Rules) -> list[str]:
    return [word for word in load_words("common") if word not in rules.index][:OUTSIDE_WORDS]
