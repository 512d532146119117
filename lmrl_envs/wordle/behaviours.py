"""Simulated people and experts: the players that write Wordle's datasets."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from gymnasium.utils.seeding import np_random

from lmrl_envs.core import Episode, Turn
from lmrl_envs.recipes import MIXES, Mix
from lmrl_envs.wordle.solvers import Boards, Entropy, MarkovPlayer, Noisy, RandomConsistent, Rules, play
from lmrl_envs.wordle.task import WordleState, WordleTask

OPENERS = 5
"""The good first words that people know: this many of highest entropy in the list."""
_BLOCK = 8192  # games that exist as Python objects at one time; content does not depend on it


def human_games(
    task: WordleTask, seeds: np.random.SeedSequence, *, split: str, games: int, mix: str, answers: str
) -> Iterator[Episode]:
    """Games of simulated people: each is played by one player of the mix, which `info["behaviour"]` names.

    With `answers="held-out"`, the words of `held_out` are hidden in the games of `test` alone, and no others are there.
    """
    return _games(task, seeds, mixture(_rules(task), MIXES[mix]), games, _allowed(task, split, answers))


def expert_games(
    task: WordleTask, seeds: np.random.SeedSequence, *, split: str, games: int, answers: str
) -> Iterator[Episode]:
    """Games of the entropy-greedy player over the answers; `answers` as in `human_games`."""
    return _games(task, seeds, [(Entropy(_rules(task)), 1.0)], games, _allowed(task, split, answers))


class Casual(MarkovPlayer):
    """Opens with a uniform one of a few good words; from its third guess to guess `until`, half are careless.

    All other guesses are random consistent words, those near the end too: people take care when few are left.
    """

    def __init__(self, rules: Rules, until: int, openers: Sequence[str]) -> None:
        super().__init__(rules)
        self.name = f"casual({until})"
        self._until = until
        self._openers = np.array([rules.index[word] for word in openers], np.int64)
        self._careful, self._careless = RandomConsistent(rules), Noisy(rules, 0.5)

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        guesses = boards.played.shape[1]
        if guesses == 0:
            return self._openers[(uniforms[:, 0] * len(self._openers)).astype(np.int64)]
        return self._later(guesses).choose(boards, uniforms)

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        if guesses == 0:
            return np.bincount(self._openers, minlength=len(self.rules.guesses)) / len(self._openers)
        return self._later(guesses).probabilities(possible, guesses)

    def _later(self, guesses: int) -> MarkovPlayer:
        return self._careless if 2 <= guesses < self._until else self._careful


def mixture(rules: Rules, mix: Mix) -> list[tuple[MarkovPlayer, float]]:
    """The players of a mix, each with its share of the games.

    The sum of weight times `solvers.exact_value(player)` is the exact expected return of a dataset with all answers.
    """
    openers = Entropy(rules).openers(OPENERS)
    return [
        (Entropy(rules, openers=openers), mix.entropy),
        (RandomConsistent(rules), mix.consistent),
        *((Noisy(rules, e), weight) for e, weight in mix.noisy.items()),
        *((Casual(rules, until, openers), weight) for until, weight in mix.casual.items()),
    ]


def held_out(words: Sequence[str]) -> frozenset[str]:
    """The tenth of a list (at least one word) that `answers="held-out"` withholds: those with the smallest SHA-256.

    Raises:
        ValueError: the list has one word, so that none would be left.
    """
    if len(words) < 2:
        raise ValueError("answers='held-out' needs a list of at least two words; use answers='all'")
    by_hash = sorted(words, key=lambda word: hashlib.sha256(word.encode()).digest())
    return frozenset(by_hash[: max(1, round(len(words) / 10))])


def _rules(task: WordleTask) -> Rules:
    """People guess words of the answer list, whatever else the task allows."""
    return Rules(task.answers, duplicates=task.duplicates, max_guesses=task.max_guesses)


def _allowed(task: WordleTask, split: str, answers: str) -> frozenset[int]:
    """Indices of the words that are hidden in the games of a split."""
    every = frozenset(range(len(task.answers)))
    if answers == "all":
        return every
    withheld = held_out(task.answers)
    test = frozenset(index for index, word in enumerate(task.answers) if word in withheld)
    return test if split == "test" else every - test


def _games(
    task: WordleTask,
    seeds: np.random.SeedSequence,
    players: Sequence[tuple[MarkovPlayer, float]],
    games: int,
    allowed: frozenset[int],
) -> Iterator[Episode]:
    starting, playing = (np.random.Generator(np.random.PCG64(child)) for child in seeds.spawn(2))
    starts = _starts(task, starting, allowed)
    bounds = np.cumsum([weight for _, weight in players])
    while games:
        block = list(itertools.islice(starts, min(games, _BLOCK)))
        games -= len(block)
        # A game has its own fixed share of the stream: one number draws its player, two each of its guesses.
        uniforms = playing.random((len(block), 1 + 2 * task.max_guesses))
        drawn = np.minimum(np.searchsorted(bounds, uniforms[:, 0], side="right"), len(players) - 1)
        draws = uniforms[:, 1:].reshape(len(block), task.max_guesses, 2)
        hidden = np.array([state.answer for _, state in block])
        guesses = np.empty((len(block), task.max_guesses), np.int64)
        for number, (player, _) in enumerate(players):
            rows = np.flatnonzero(drawn == number)
            guesses[rows] = play(player, hidden[rows], draws[rows])
        for (seed, state), chosen, number in zip(block, guesses, drawn, strict=True):
            yield _episode(task, seed, state, chosen, players[number][0].name)


def _starts(task: WordleTask, rng: np.random.Generator, allowed: frozenset[int]) -> Iterator[tuple[int, WordleState]]:
    """Episode seeds and the states that the task starts in with them, for the hidden words that are allowed."""
    while True:
        for seed in rng.integers(2**63, size=_BLOCK).tolist():
            (start,) = task.start([np_random(seed)[0]])
            if start.state.answer in allowed:
                yield seed, start.state


def _episode(task: WordleTask, seed: int, state: WordleState, guesses: np.ndarray, behaviour: str) -> Episode:
    """Plays guesses, indices of answers, in the task itself until the game is over."""
    turns: list[Turn] = []
    for guess in guesses:
        action = task.answers[guess]
        (reply,) = task.reply([state], [action])
        turns += [Turn("agent", action, reply.reward), Turn("env", reply.text or "")]
        state = reply.state
        if reply.terminated:
            break
    return Episode("Wordle-v0", seed, tuple(turns), True, False, {**reply.info, "behaviour": behaviour})
